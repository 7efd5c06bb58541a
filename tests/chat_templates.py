"""Chat templates as models have them, each with a dialog as its model wants it written.

The sources are those of the models' files on huggingface.co, Llama 3.1's without what it says about
tools. TinyLlama-1.1B-Chat-v1.0 has Zephyr's.
"""

from typing import NamedTuple

DIALOG = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Because."},
    {"role": "user", "content": " And then? "},
]
DIALOGS = {"a question": DIALOG[1:2], "with a system text": DIALOG[:2],
           "several turns": DIALOG[1:], "everything": DIALOG}  # fmt: skip


class Known(NamedTuple):
    """A template, the special tokens of its model, how DIALOG looks, and what ends a turn."""

    source: str
    special: list[str]
    bos: str
    eos: str
    written: str
    end_of_turn: str
    sentencepiece: bool = False


_ALTERNATE = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("
    "'Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
LLAMA_2 = Known(
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}"
    "{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}" + _ALTERNATE + "{% if loop.index0 == 0 and "
    "system_message != false %}{% set content = '<<SYS>>\\n' + system_message + "
    "'\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}"
    "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}",
    ["<unk>", "<s>", "</s>"], "<s>", "</s>",
    "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhy? [/INST] Because. </s><s>[INST] And then? "
    "[/INST]",
    "</s>", True,
)  # fmt: skip

_LLAMA_3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
            "<|eot_id|>"]  # fmt: skip
LLAMA_3 = Known(
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
    "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim "
    "+ '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    _LLAMA_3, "<|begin_of_text|>", "<|end_of_text|>",
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nBecause.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nAnd then?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "<|eot_id|>",
)  # fmt: skip

_LLAMA_3_1 = """\
{{- bos_token }}
{%- if not date_string is defined %}
    DATE
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System message #}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ \
message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
_DATE = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
LLAMA_3_1 = LLAMA_3._replace(
    source=_LLAMA_3_1.replace("DATE", '{%- set date_string = "26 Jul 2024" %}'),
    written=LLAMA_3.written.replace("Be brief.", f"{_DATE}Be brief."),
)
LLAMA_3_2 = _LLAMA_3_1.replace("DATE", '{%- set date_string = strftime_now("%d %b %Y") %}')

_CHATML = (
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHATML = Known(
    "{% for message in messages %}" + _CHATML,
    ["<s>", "</s>", "<|im_start|>", "<|im_end|>"], "<s>", "</s>",
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
    "<|im_start|>assistant\nBecause.<|im_end|>\n<|im_start|>user\n And then? <|im_end|>\n"
    "<|im_start|>assistant\n",
    "<|im_end|>",
)  # fmt: skip
SMOLLM2 = CHATML._replace(
    source="{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}" + _CHATML,
    special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    bos="<|im_start|>",
    eos="<|im_end|>",
)

ZEPHYR = Known(
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n"
    "{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n"
    "{% endfor %}",
    ["<unk>", "<s>", "</s>"], "<s>", "</s>",
    "<|system|>\nBe brief.</s>\n<|user|>\nWhy?</s>\n<|assistant|>\nBecause.</s>\n<|user|>\n"
    " And then? </s>\n<|assistant|>\n",
    "</s>", True,
)  # fmt: skip
KNOWN = {
    "Llama 2": LLAMA_2, "Llama 3": LLAMA_3, "Llama 3.1": LLAMA_3_1, "ChatML": CHATML,
    "SmolLM2": SMOLLM2, "Zephyr, TinyLlama": ZEPHYR,
}  # fmt: skip
