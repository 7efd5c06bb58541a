"""Texts that tokenizers like to disagree about."""

VARIED = (
    "",
    " ",
    "Hello, world!",
    " a leading space and a trailing one ",
    "def f(x):\n    return {k: v**2 for k, v in x.items()}  # ?\n\tif x != 0x1F:\r\n\t\tpass\r\n",
    "In 2024, 1234567 + 3.14159 = 1,234,570.14; ½ Ⅷ ٣٤٥ 一二三 ²³ 1st",
    "I'm sure they'LL say we've DON'T 'tis 's 'S ''re rock'n'roll’s",
    "In the café the naïve coöperation of Łódź, Ærøskøbing and e\u0301",
    "Быть или не быть? Ἐν ἀρχῇ ἦν ὁ λόγος. שָׁלוֹם עוֹלָם. السلام عليكم. नमस्ते दुनिया",
    "我思故我在。吾輩は猫である。안녕하세요 여러분. สวัสดีชาวโลก người Việt việc hợp điều",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈 🇨🇭 ✂️ 😀😀😀 \U0001f9d1\U0001f3fd‍🚀",
    "\x01\x02\x1f\x7f\x80\x85\xa0\u200b\u200d\u2028\u2029\ufeff\ufffd\x0b\x0c",
    "one  two   three    four\t\tfive\n\nsix\n\n\nseven \n eight  \n  nine 1  2   3",
    " " * 300 + "x" + " " * 99 + "\n" * 150 + " \n" * 40 + "\t" * 77 + "1" + " " * 40,
    "=" * 200 + "-" * 130 + "a" * 260 + "7" * 100 + "猫" * 50,
    "https://example.org/a_b?c=d&e=%20#f <b>bold</b> $$ x_{i}^2 $$ \\n {{ }}",
)
