"""What every tokenizer has, whichever engine encodes: `Tokenizer` here, others in weights_tools."""

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LONGEST_TOKEN = 2_000  # bytes; Llama 3's longest has 128
MOST_WORK = 1 << 25  # of all tokens, the squares of their lengths: Llama 3's come to 7.6 million


def check_lengths(tokens: Iterable[bytes | str]) -> None:
    """Raise ValueError for tokens so long that reading or writing them would take for ever.

    Whoever looks at all ways to make a token from two takes as many steps as it is long, each as
    long as the token.
    """
    lengths = [len(token) for token in tokens]
    if max(lengths, default=0) > LONGEST_TOKEN:
        raise ValueError(
            f"a token of {max(lengths)} characters, the longest allowed has {LONGEST_TOKEN}"
        )
    if sum(n * n for n in lengths) > MOST_WORK:
        raise ValueError(
            f"the tokens are too long all together, on average {sum(lengths) / len(lengths):.0f} "
            "characters; is this the vocabulary of a Llama?"
        )


def cut_at(text: str, names: Iterable[str]) -> list[str]:
    """A text cut at all names in it, which are parts of their own; of several the longest counts.

    >>> cut_at("a<b>c", ["<b>"])
    ['a', '<b>', 'c']
    """
    longest_first = sorted(names, key=len, reverse=True)
    if not longest_first:
        return [text]
    return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)


class Tokenizer:
    """The bytes of each id, names for some of them, and text from ids.

    A tokenizer adds `_encode_ordinary`, which makes ids of text without special tokens. `bos` and
    `bos_id` are name and id of the token that the model expects in front of every text, `eos` and
    `eos_id` of the one behind it, and None where there is none. `stop_ids` end the writing: the end
    of text, and what `stop` gives by name or by id, ordinary tokens too.

    Many models have more rows than there are tokens: their vocabulary was padded to a round number.
    `padded_size` is then how many; the ids from `vocab_size` on stand for no text.

    `chat_template` is set by what reads a model's files: how it wants dialogs written, or None. So
    is `late`: names of special tokens that are looked for only where the others are not.
    """

    chat_template: Any = None
    late: frozenset[str] = frozenset()

    def __init__(
        self,
        ordinary: Mapping[int, bytes],
        special_tokens: Mapping[str, int],
        bos: str | None,
        eos: str | None,
        stop: Iterable[str | int] = (),
    ):
        check_lengths(ordinary.values())
        self.special_tokens = dict(special_tokens)
        named = {i: name.encode() for name, i in self.special_tokens.items()}
        self.vocab_size = len(ordinary) + len(self.special_tokens)
        self.padded_size = self.vocab_size
        self._bytes = [named.get(i, ordinary.get(i)) for i in range(self.vocab_size)]
        if None in self._bytes:
            raise ValueError(
                f"expected the ids 0 to {self.vocab_size - 1} once each, got none or two of"
                f" {self._bytes.index(None)}; use a complete vocabulary"
            )
        self.bos = bos if bos in self.special_tokens else None
        self.eos = eos if eos in self.special_tokens else None
        self._end = eos or "for the end of text"
        self.bos_id = self.special_tokens.get(bos)
        self.eos_id = self.special_tokens.get(eos)
        ends = (self.special_tokens.get(end, end) for end in (eos, *stop))
        self.stop_ids = frozenset(
            i for i in ends if isinstance(i, int) and 0 <= i < self.vocab_size
        )

    def encode(
        self,
        text: str,
        bos: bool = False,
        eos: bool = False,
        allow_special: bool = False,
        guard: str = "",
    ) -> list[int]:
        """The ids of a text, between begin and end of text where asked for.

        `bos=True` adds what the model expects in front of a text. Some expect nothing (SmolLM2):
        then nothing is added.

        The name of a special token inside the text stays ordinary text, so that what a user types
        can never end the user's turn; `allow_special=True` reads it as the token, except where the
        character `guard` stands inside the name. Guards are no part of the text.

        Raises ValueError for a lone surrogate, which is no character and has no bytes (tiktoken
        would turn it into U+FFFD), and for `eos` where the tokenizer has none.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"expected characters, got the lone surrogate {text[error.start]!a} at position"
                f' {error.start}; text.encode("utf-8", "replace").decode() puts a ? in its place'
            ) from None
        ids = [self.bos_id] if bos and self.bos_id is not None else []
        if allow_special:
            ids += self._encode_named(text, guard)
        else:
            ids += self._encode_ordinary(text.replace(guard, "") if guard else text, at_start=True)
        return ids + [self.special_id(self._end)] if eos else ids

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of the ids; special tokens appear by name, padded ids not at all.

        Raises ValueError for an id outside 0 to padded_size - 1.
        """
        return b"".join([self._bytes_of(token_id) for token_id in ids])

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids, with U+FFFD for bytes that are no character.

        One token may hold part of a character only: decode a list in one go, or `stream_text` it.
        """
        return self.decode_bytes(ids).decode(errors="replace")

    def token(self, token_id: int) -> str:
        r"""A label for one token: ␣ for a space, \n for a newline, \xe2 for part of a character.

        An id that only pads the vocabulary is (none).
        """
        if self.vocab_size <= token_id < self.padded_size:
            return "(none)"
        text = self._bytes_of(token_id).decode(errors="backslashreplace").replace(" ", "␣")
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

    def special_id(self, name: str) -> int:
        """The id of a special token; ValueError if the tokenizer has none of that name."""
        if name not in self.special_tokens:
            raise ValueError(
                f"expected a tokenizer with the special token {name}, got one with"
                f" {list(self.special_tokens)[:8]}; use the tokenizer that belongs to the model"
            )
        return self.special_tokens[name]

    def split_special(self, text: str) -> list[str]:
        """A text cut at the names of special tokens, which are parts of their own."""
        early = self.special_tokens.keys() - self.late
        stretches = cut_at(text, early)
        return [
            part
            for stretch in stretches
            for part in ([stretch] if stretch in early else cut_at(stretch, self.late))
        ]

    def _encode_named(self, text: str, guard: str) -> list[int]:
        """The ids of a text in which the names of special tokens are read as the tokens."""
        ids = []
        for i, stretch in enumerate(self.split_special(text)):
            if stretch in self.special_tokens:
                ids.append(self.special_tokens[stretch])
            else:
                stretch = stretch.replace(guard, "") if guard else stretch
                ids += self._encode_ordinary(stretch, at_start=i == 0)
        return ids

    def _encode_ordinary(self, text: str, at_start: bool) -> list[int]:
        raise NotImplementedError

    def _bytes_of(self, token_id: int) -> bytes:
        if self.vocab_size <= token_id < self.padded_size:
            return b""
        if not 0 <= token_id < self.vocab_size:  # a negative index would count from the end
            raise ValueError(
                f"expected ids from 0 to {self.vocab_size - 1}, got {token_id};"
                " use the tokenizer that belongs to the model"
            )
        return self._bytes[token_id]


def stream_text(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield the text of ids as they come, holding back bytes until their character is complete.

    The parts join to `tokenizer.decode(ids)`; bytes that never become a character are U+FFFD.

    >>> from llama_np.tokenizer import BPETokenizer
    >>> tokenizer = BPETokenizer({bytes([b]): b for b in range(256)}, [])
    >>> list(stream_text(tokenizer, iter("né".encode())))
    ['n', 'é']
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token_id in ids:
        if text := decoder.decode(tokenizer.decode_bytes([token_id])):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text
