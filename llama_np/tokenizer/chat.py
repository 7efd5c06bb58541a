r"""The dialog format of Llama 3: messages become one list of ids that ends where the model begins.

    <|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n
    Why?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n

The model goes on from there, and says <|eot_id|> when its turn is over. A chat that does not stop
at that id never ends. Source: ChatFormat in Meta's `llama/tokenizer.py` (meta-llama/llama3).
"""

from collections.abc import Callable, Mapping, Sequence

from .base import Tokenizer

TOKENS = {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}
ROLES = ("system", "user", "assistant", "ipython")  # ipython: the output of a tool


def has_llama3_dialogs(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer has the special tokens of this format."""
    return tokenizer.special_tokens.keys() >= TOKENS


def encode_header(tokenizer: Tokenizer, role: str) -> list[int]:
    r"""Who speaks: <|start_header_id|>role<|end_header_id|>\n\n.

    Raises ValueError for an unknown role and for a tokenizer without these special tokens.
    """
    if role not in ROLES:
        raise ValueError(f"expected a role among {', '.join(ROLES)}, got {role!r}; name one")
    return [
        tokenizer.special_id("<|start_header_id|>"),
        *tokenizer.encode(role),
        tokenizer.special_id("<|end_header_id|>"),
        *tokenizer.encode("\n\n"),
    ]


def check_message(message: Mapping[str, str]) -> None:
    """Raise ValueError unless the message is {"role": ..., "content": ...}, both text.

    One that calls a tool is refused: without its call, the model would read another dialog.
    """
    if not isinstance(message, Mapping) or not all(
        isinstance(message.get(key), str) for key in ("role", "content")
    ):
        raise ValueError(
            f'expected a message like {{"role": "user", "content": "Why?"}}, got {message!r};'
            " give both keys, as text"
        )
    if message.get("tool_calls"):
        raise ValueError(
            "expected a message of text, got one with tool_calls, which are not supported;"
            " write the call into its content"
        )


def encode_message(tokenizer: Tokenizer, message: Mapping[str, str]) -> list[int]:
    """One turn: its header, its content without white space at both ends, <|eot_id|>.

    The name of a special token in the content stays ordinary text: a user cannot speak in
    another's name. (The chat templates of Hugging Face read it as the special token.)

    Raises ValueError for what is no message.
    """
    check_message(message)
    return [
        *encode_header(tokenizer, message["role"]),
        *tokenizer.encode(message["content"].strip()),
        tokenizer.special_id("<|eot_id|>"),
    ]


def encode_dialog(tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]]) -> list[int]:
    r"""A dialog up to the point where the assistant speaks.

    Raises ValueError for no messages and for what the functions above refuse.

    >>> from llama_np.tokenizer import BPETokenizer
    >>> ranks = {bytes([b]): b for b in range(256)} | {b"\n\n": 256}
    >>> names = ["begin_of_text", "start_header_id", "end_header_id", "eot_id"]
    >>> tokenizer = BPETokenizer(ranks, [f"<|{name}|>" for name in names])
    >>> ids = encode_dialog(tokenizer, [{"role": "user", "content": " Why? "}])
    >>> ids[:2], ids[-1]
    ([257, 258], 256)
    >>> tokenizer.decode(ids[1:-12])
    '<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>'
    >>> tokenizer.decode(ids[-12:])
    '<|start_header_id|>assistant<|end_header_id|>\n\n'
    """
    if not messages:
        raise ValueError('expected messages, got none; start with {"role": "user", "content": ...}')
    ids = [tokenizer.special_id("<|begin_of_text|>")]
    for message in messages:
        ids += encode_message(tokenizer, message)
    return ids + encode_header(tokenizer, "assistant")


def latest_that_fit(
    encode: Callable[[Sequence[Mapping[str, str]]], list[int]],
    messages: Sequence[Mapping[str, str]],
    room: int,
) -> list[Mapping[str, str]]:
    """The end of a talk that takes at most ``room`` tokens: whole turns of question and answer go.

    ``encode`` makes ids of messages, as ``encode_dialog`` does. A system text at the beginning and
    the last question always stay, however long they are.
    """
    head = [message for message in messages[:1] if message["role"] == "system"]
    turns = list(messages[len(head) :])
    while len(turns) > 2 and len(encode([*head, *turns])) > room:
        del turns[:2]
    return [*head, *turns]
