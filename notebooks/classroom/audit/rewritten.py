"""Mutants of a solution's code: one node of its tree becomes another."""

import ast
import copy
from collections.abc import Iterator

OPERATORS = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div, ast.Mod), ast.Mod: (ast.FloorDiv,), ast.Pow: (ast.Mult,),
}  # fmt: skip
ORDERINGS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
OPPOSITE = {ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
NAMES = (  # what is easily taken for one another
    ("min", "max"), ("sum", "mean", "max"), ("argmax", "argmin"), ("cos", "sin"), ("zeros", "ones"),
    ("attn_norm", "ffn_norm", "wq"), ("wq", "wk", "wv"), ("wo", "wq"), ("w_gate", "w_up"),
    ("embedding", "output"), ("norm_eps", "rope_theta"), ("cumsum", "cumprod"), ("ceil", "floor"),
    ("stop_ids", "special_tokens"), ("append", "remove"), ("head_dim", "n_heads", "dim"),
)  # fmt: skip


def rewritten(source: str) -> Iterator[tuple[str, str]]:
    """Every mutant of the one function of a source: what was changed, and the new source."""
    tree = ast.parse(source)
    parameters = [each.arg for each in tree.body[0].args.args]
    nodes = list(ast.walk(tree))
    annotated = {id(inner) for node in nodes if isinstance(node, ast.arguments)
                 for inner in ast.walk(node)}  # fmt: skip
    seen = {ast.unparse(tree)}
    for place, node in enumerate(nodes):
        if id(node) in annotated:
            continue
        for kind, other in changes(node, parameters):
            changed = copy.deepcopy(tree)
            target = list(ast.walk(changed))[place]
            put(changed, target, other)
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text not in seen:
                seen.add(text)
                yield f"{kind}: {line_of(changed, other) or text}", text


def line_of(tree: ast.AST, node: ast.AST) -> str:
    """The shortest line of a program that a node stands in."""
    lines = [
        ast.unparse(line)
        for line in ast.walk(tree)
        if isinstance(line, ast.stmt) and any(each is node for each in ast.walk(line))
    ]
    return " ".join(min(lines, key=len).split()) if lines else ""


def put(tree: ast.AST, target: ast.AST, other: ast.AST) -> None:
    """``other`` in the place of ``target``."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, name, other)
            elif isinstance(value, list) and any(each is target for each in value):
                setattr(parent, name, [other if each is target else each for each in value])


def changes(node: ast.AST, parameters: list[str]) -> Iterator[tuple[str, ast.AST]]:
    """The wrong versions of one node, each with its kind."""

    def with_(**fields) -> ast.AST:
        other = copy.deepcopy(node)
        vars(other).update(fields)
        return other

    match node:
        case ast.BinOp(left=left, op=op, right=right):
            for kind in OPERATORS.get(type(op), ()):
                yield "operator", with_(op=kind())
            yield "left out", left
            yield "left out", right
            if not isinstance(op, ast.Add | ast.Mult):
                yield "changed places", with_(left=right, right=left)
        case ast.UnaryOp(operand=operand):
            yield "sign", operand
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            for kind in ORDERINGS if isinstance(op, ORDERINGS) else ():
                yield "comparison", with_(ops=[kind()])
            if type(op) in OPPOSITE:
                yield "comparison", with_(ops=[OPPOSITE[type(op)]()])
                yield "truth of the value", left
            yield "condition", ast.Constant(True)
            yield "condition", ast.Constant(False)
        case ast.BoolOp(values=values):
            yield "and/or", with_(op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())
            for value in values:
                yield "left out", value
        case ast.Constant(value=bool(value)):
            yield "constant", ast.Constant(not value)
        case ast.Constant(value=int(value)):
            for other in {value + 1, value - 1, -value, 0} - {value}:
                yield "constant", ast.Constant(other)
        case ast.Constant(value="replace"):
            yield "constant", ast.Constant("ignore")
            yield "constant", ast.Constant("strict")
            yield "constant", ast.Constant("backslashreplace")
        case ast.Slice(lower=lower, upper=upper, step=step):
            for name, bound in (("lower", lower), ("upper", upper)):
                if bound is not None:
                    yield "off by one", with_(**{name: off(bound, 1)})
                    yield "off by one", with_(**{name: off(bound, -1)})
                    yield "left out", with_(**{name: None})
            if step is not None:
                yield "left out", with_(step=None)
        case ast.Attribute(attr=attr, value=value):
            if attr == "T":
                yield "axis", value
            for names in NAMES:
                for other in names if attr in names else ():
                    yield "name", with_(attr=other)
        case ast.Call():
            yield from changed_calls(node, with_)
        case ast.Name(id=name, ctx=ast.Load()) if name in parameters:
            for other in parameters:
                yield "another argument", ast.Name(other, ast.Load())
        case ast.If(test=test):
            for always in (True, False):
                if not isinstance(test, ast.Constant):
                    yield "condition", with_(test=ast.Constant(always))
        case ast.For(iter=over):
            for text in ("({})[1:]", "({})[:-1]", "({})[::-1]", "({})[:1]"):
                cut = ast.parse(text.format(f"list({ast.unparse(over)})")).body[0].value
                yield "loop", with_(iter=cut)
        case ast.While(test=test, body=body):
            yield "only once", ast.If(test, body, [])
        case ast.Break() | ast.AugAssign() | ast.Expr(value=ast.Call()):
            yield "left out", ast.Pass()
        case ast.Assign(targets=[ast.Subscript()]):
            yield "left out", ast.Pass()
        case ast.List(elts=[_, *_]) | ast.Tuple(elts=[_, *_], ctx=ast.Load()):
            for i in range(len(node.elts)):
                yield "left out", with_(elts=node.elts[:i] + node.elts[i + 1 :])


def off(bound: ast.expr, by: int) -> ast.expr:
    sign = ast.Add() if by > 0 else ast.Sub()
    return ast.BinOp(bound, sign, ast.Constant(1))


def changed_calls(node: ast.Call, with_) -> Iterator[tuple[str, ast.AST]]:
    """A call without itself, with its arguments changed round, off by one, or one fewer."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    of_module = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    of_module = of_module and node.func.value.id in ("np", "mine")
    if node.args:
        yield "call left out", node.args[0]
    if isinstance(node.func, ast.Attribute) and not of_module:
        yield "call left out", node.func.value
    for i, (a, b) in enumerate(zip(node.args, node.args[1:], strict=False)):
        yield "changed places", with_(args=[*node.args[:i], b, a, *node.args[i + 2 :]])
    for i, argument in enumerate(node.args):
        if len(node.args) > 1:
            yield "left out", with_(args=node.args[:i] + node.args[i + 1 :])
        if name in ("range", "arange", "zeros", "reshape", "swapaxes"):
            for by in (1, -1):
                args = [*node.args[:i], off(argument, by), *node.args[i + 1 :]]
                yield "off by one", with_(args=args)
    if name in ("range", "arange") and len(node.args) == 1:
        yield "off by one", with_(args=[ast.Constant(1), *node.args])
    for i, keyword in enumerate(node.keywords):
        before, after = node.keywords[:i], node.keywords[i + 1 :]
        yield "left out", with_(keywords=before + after)
        if keyword.arg == "axis":
            for axis in (0, -2, None):
                other = ast.keyword("axis", ast.Constant(axis))
                yield "axis", with_(keywords=[*before, other, *after])
