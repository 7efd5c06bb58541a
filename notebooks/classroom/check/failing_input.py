"""The input of a call that went wrong, shown where it is short."""

SHORT = 100  # characters of an input that is shown
PLAIN = (int, float, str, bytes, list, dict, set)


def smallest(names: list[str], cases: list[tuple], faults: list) -> list[str]:
    """The fault of the smallest case, and its input; the first fault where none is short."""
    failed = [
        (shown(names, case), fault) for case, fault in zip(cases, faults, strict=True) if fault
    ]
    short = [pair for pair in failed if 0 < len(pair[0]) <= SHORT]
    if not short:
        return [failed[0][1]]
    given, fault = min(short, key=lambda pair: len(pair[0]))
    return [fault, f"It was called with {given}."]


def shown(names: list[str], arguments: tuple) -> str:
    """The arguments of a call as one writes them; nothing where one is an array or a model."""
    if not all(isinstance(a, PLAIN) for a in arguments):
        return ""
    return ", ".join(f"{name}={a!r}" for name, a in zip(names, arguments, strict=False))
