"""A program of its own: renders a chat template that came with a model, and so from a stranger.

``chat_template.render`` starts it, gives it a request as JSON, and takes texts or an error back. In
a process of its own a template that never ends can be stopped, and one that asks for all the memory
there is gets an error. Jinja's sandbox keeps it from everything but the dialog.

What a template may use is what transformers gives it: ``_cached_compile_jinja_template`` in
https://github.com/huggingface/transformers/blob/main/src/transformers/utils/chat_template_utils.py
"""

import json
import sys
from datetime import datetime

MEMORY = 1 << 30  # bytes
LONGEST = 1 << 22  # characters of one text
SAFE = (3, 1, 6)  # in earlier versions of jinja2 there are known ways out of the sandbox


def main() -> None:
    """From standard input to standard output."""
    request = json.load(sys.stdin)
    try:
        bound_memory()
        answer = {"texts": texts(**request)}
    except ImportError as error:
        answer = {"error": f"{error}: pip install --upgrade jinja2"}
    except MemoryError:
        answer = {"error": f"it takes more than {MEMORY >> 20} MiB of memory"}
    except Exception as error:  # whatever a template can bring about
        answer = {"error": f"{error or type(error).__name__}"}
    json.dump(answer, sys.stdout)


def bound_memory() -> None:
    """No more than MEMORY for this process. Windows has no such bound; there only time is one."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, OSError, ValueError):
        pass


def texts(source: str, dialogs: list, names: dict, add_generation_prompt: bool) -> list[str]:
    """One text for each dialog."""
    template = sandbox().from_string(source)
    return [
        joined(
            template.generate(
                messages=dialog, tools=None, documents=None,
                add_generation_prompt=add_generation_prompt, **names,
            )
        )
        for dialog in dialogs
    ]  # fmt: skip


def joined(parts) -> str:
    """The parts as one text, refused where it grows too long."""
    text, length = [], 0
    for part in parts:
        length += len(part)
        if length > LONGEST:
            raise ValueError(f"it makes more than {LONGEST} characters")
        text.append(part)
    return "".join(text)


def sandbox():
    """Jinja as transformers sets it up for chat templates."""
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    version = tuple(int(part) for part in jinja2.__version__.split(".")[:3] if part.isdigit())
    if version < SAFE:
        raise ImportError(f"jinja2 {jinja2.__version__} is too old")

    class Generation(Extension):
        """{% generation %} marks what an assistant says; the text is the same without it."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    class Namespace(jinja2.utils.Namespace):
        """Values that a template may change, none of them Python's own attributes."""

        def __init__(self, /, *args, **kwargs):
            values = dict(*args, **kwargs)
            for name in values:
                refuse_private(name)
            super().__init__(values)

        def __setitem__(self, name, value):
            refuse_private(name)
            super().__setitem__(name, value)

    def refuse_private(name):
        if str(name).startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}")

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
            sort_keys=sort_keys,
        )  # fmt: skip

    found = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    found.filters["tojson"] = tojson
    found.globals.update(
        raise_exception=raise_exception,
        namespace=Namespace,
        dict=lambda *args, **kwargs: dict(*args, **kwargs),
        strftime_now=lambda layout: datetime.now().strftime(layout),
    )
    return found


if __name__ == "__main__":
    main()
