"""What torch.save writes is read bit for bit; what asks for more than tensors is never run."""

import builtins
import io
import os
import pickle
import re
import struct
import subprocess
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from weights_tools.formats import pickle_file
from weights_tools.formats.pickle_file import read_pickle_file

torch = pytest.importorskip("torch")
pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402

from tests.damage import damaged  # noqa: E402

KINDS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"
}  # fmt: skip


def bits(tensor) -> bytes:
    return tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()


def saved(content, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def read(tmp_path, content: bytes):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    return read_pickle_file(path)


def refusal(tmp_path, content: bytes) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(ValueError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(str(tmp_path)) and "\n" not in message
    return message


def zipped(members: dict[str, bytes], **options) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(f"archive/{name}", data)
    return file.getvalue()


def with_pickle(data: bytes, storage: bytes = bytes(24)) -> bytes:
    return zipped({"data.pkl": data, "byteorder": b"little", "data/0": storage})


class Call:
    """Something whose pickle calls ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Untyped:
    """Pickles as a call of ``_rebuild_tensor_v2`` with whatever arguments."""

    def __init__(self, *arguments, storage=("storage", torch.FloatStorage, "0", "cpu", 6)):
        self.arguments, self.storage = arguments, storage


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        return thing if type(thing) is tuple and thing[:1] == ("storage",) else None

    def reducer_override(self, thing):
        if isinstance(thing, Untyped):
            rebuild = torch._utils._rebuild_tensor_v2
            return rebuild, (thing.storage, *thing.arguments, False, OrderedDict())
        return NotImplemented


def pickled(thing, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    Pickler(file, protocol).dump(thing)
    return file.getvalue()


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_tensors_are_read_bit_for_bit(tmp_path, dtype):
    content = {name: torch.randn(shape).to(dtype) for name, shape in {"a": (5, 3), "b": 7}.items()}
    found = read(tmp_path, saved(content))
    assert found.keys() == content.keys()
    for name, tensor in content.items():
        assert found[name].kind == KINDS[dtype]
        assert found[name].array.shape == tensor.shape
        assert found[name].array.tobytes() == bits(tensor)


def test_views_parameters_and_modules_are_read(tmp_path):
    whole = torch.randn(6, 4)
    content = torch.nn.Linear(3, 2, bias=False).state_dict()  # an OrderedDict with _metadata
    content |= {"rows": whole[2:5], "columns": whole[:, 1:3], "thin": whole[:1]}
    content |= {"parameter": torch.nn.Parameter(whole.half()), "one": whole[2:3, 1:2]}
    found = read(tmp_path, saved(content))
    for name, tensor in content.items():
        np.testing.assert_array_equal(found[name].array, tensor.detach().numpy(), err_msg=name)
    assert np.shares_memory(found["rows"].array, found["columns"].array)


def test_nothing_is_copied(tmp_path):
    array = read(tmp_path, saved({"a": torch.zeros(1000)}))["a"].array
    while array.base is not None and not isinstance(array, np.memmap):
        array = array.base
    assert isinstance(array, np.memmap)


def test_newer_protocols_are_read(tmp_path):
    tensor = torch.randn(3, 2)
    found = read(tmp_path, saved({"a": tensor}, pickle_protocol=4))
    np.testing.assert_array_equal(found["a"].array, tensor)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["the value", "the key", "alone"])
def test_a_call_is_refused_and_not_made(tmp_path, place, protocol):
    proof = tmp_path / "it ran"
    for function, arguments in {
        os.system: (f"touch '{proof}'",),
        builtins.eval: (f"open({str(proof)!r}, 'w')",),
        builtins.exec: (f"open({str(proof)!r}, 'w')",),
        subprocess.Popen: (["touch", str(proof)],),
        builtins.getattr: ("text", "upper"),
        builtins.open: (str(proof), "w"),
        io.FileIO: (str(proof), "w"),
    }.items():
        call = Call(function, *arguments)
        content = {"the value": {"a": call}, "the key": {call: 1}, "alone": call}[place]
        data = pickle.dumps(content, protocol)
        message = refusal(tmp_path, with_pickle(data))
        assert function.__name__ in message and "nothing was run" in message
    assert not proof.exists()
    pickle.loads(pickle.dumps(Call(os.system, f"touch '{proof}'"), protocol))
    assert proof.exists()  # so the payloads are real


@pytest.mark.parametrize(
    "data",
    [
        b"cposix\nsystem\n(S'touch PROOF'\ntR.",
        b"(S'touch PROOF'\niposix\nsystem\n.",
        b"(cposix\nsystem\nS'touch PROOF'\no.",
        b"\x80\x02cposix\nsystem\nX\x05\x00\x00\x00PROOF\x85\x81.",  # NEWOBJ
        b"\x80\x02ccollections\nOrderedDict\n(X\x05\x00\x00\x00PROOFto.",
        b"\x80\x02\x82\x01)R.",  # EXT1
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00a)sb.",  # BUILD
        b"\x80\x02ctorch\nFloatStorage\n}b.",
        b"\x80\x02c__main__\nx\n.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x05PROOF\x85R.",
        b"\x80\x02Pstorage\n.",
    ],
)
def test_other_ways_to_call_are_refused(tmp_path, data):
    proof = tmp_path / "proof"
    refusal(tmp_path, with_pickle(data.replace(b"PROOF", str(proof).encode()[-5:])))
    assert not proof.exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (pickle.dumps([1], 2), "EMPTY_LIST"),
        (pickle.dumps({"a": 1}, 2), "'a' should be a tensor, got int"),
        (pickle.dumps((), 2), "dictionary of tensors, got tuple"),
        (pickle.dumps({"a\nb": {}}, 2), r"'a\\nb' should be a tensor, got dict"),
        (b"\x80\x02.", "damaged"),
        (b"", "damaged"),
        (b"\x80\x02)r\xff\xff\xff\xff.", "got tuple"),  # a place in the memo: 34 GB, if a list
        (b"\x80\x02}(" + b")" * 3 + b"u.", "damaged"),
        (b"\x80\x02X\xff\xff\xff\xffa.", "damaged"),
        (b"\x80\x02h\x07.", "damaged"),
        (b"\x80\x02t.", "damaged"),
        (b"\x80\x02" + b")" + b"2\x86" * 5000 + b".", "DUP"),
        (b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 99 + b".", "damaged"),
        (b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 99 + b"}h\x00)s.", "damaged"),  # 2**99 in all
        (b"\x80\x02}" + b"X\x01\x00\x00\x00a}" * 50_000 + b"s" * 50_000 + b".", "got dict"),
    ],
)
def test_what_is_no_dictionary_of_tensors_is_named(tmp_path, data, says):
    assert says.replace("\\\\", "\\") in refusal(tmp_path, with_pickle(data))


def test_bombs_are_refused(tmp_path):
    one = pickled(Untyped(0, (2, 3), (3, 1)))
    function, arguments = re.match(
        rb"\x80\x02(c.*?\n.*?\n)q.(.*)R(q.)?\.", one, re.DOTALL
    ).groups()[:2]
    many = (
        b"\x80\x02" + function + b"q\xfe" + arguments + b"q\xff" + b"h\xfeh\xffR" * 100_001 + b"."
    )
    assert "more than 100000 tensors" in refusal(tmp_path, with_pickle(many))
    large = b"\x80\x02}" + b")" * (pickle_file.LARGEST_PICKLE + 1) + b"."
    assert "far more than any Llama" in refusal(tmp_path, with_pickle(large))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((0, (2, 4), (4, 1)), "beyond its storage"),
        ((1, (2, 3), (3, 1)), "beyond its storage"),
        ((6, (1, 1), (1, 1)), "beyond its storage"),
        ((2**60, (2, 3), (3, 1)), "beyond its storage"),
        ((0, (2**40, 2**40), (2**40, 1)), "beyond its storage"),
        ((0, (2, 2), (2**63, 1)), "beyond its storage"),
        ((5, (2,), (1,)), "beyond its storage"),
        ((0, (2, 3), (0, 1)), "overlap"),
        ((0, (2, 3), (1, 1)), "overlap"),
        ((0, (2, 3), (1, 2, 3)), "one axis or two"),
        ((0, (6,), (0,)), "overlap"),
        ((0, (3, 2), (1, 3)), "tensor.contiguous()"),  # a transposed matrix
        ((0, (2, 2), (1, 1)), "overlap"),
        ((0, (3,), (2,)), "scattered"),
        ((-1, (2, 3), (3, 1)), "no proper shape"),
        ((0, (-2, 3), (3, 1)), "no proper shape"),
        ((0, (2, 3), (-3, 1)), "no proper shape"),
        ((0, (2.0, 3), (3, 1)), "BINFLOAT"),
        ((0, (True, 3), (3, 1)), "no proper shape"),
        ((0, "23", "31"), "no proper shape"),
        ((None, (2, 3), (3, 1)), "no proper shape"),
        ((0, (0, 3), (3, 1)), "one axis or two"),
        ((0, (), ()), "one axis or two"),
        ((0, (1, 2, 3), (6, 3, 1)), "one axis or two"),
    ],
)
def test_what_a_pickle_says_of_a_tensor_is_checked(tmp_path, arguments, says):
    assert says in refusal(tmp_path, with_pickle(pickled({"a": Untyped(*arguments)})))


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        (("storage", torch.FloatStorage, "1", "cpu", 6), "differ in size"),
        (("storage", torch.FloatStorage, "../data.pkl", "cpu", 6), "differ in size"),
        (("storage", torch.FloatStorage, "0", "cpu", 7), "differ in size"),
        (("storage", torch.FloatStorage, "0", "cpu", -1), "differ in size"),
        (("storage", torch.HalfStorage, "0", "cpu", 6), "differ in size"),
        (("storage", torch.CharStorage, "0", "cpu", 24), "torch.CharStorage"),
        (("storage", OrderedDict, "0", "cpu", 6), "damaged"),
        (("storage", torch.FloatStorage, 0, "cpu", 6), "damaged"),
        (("storage", torch.FloatStorage, "0"), "damaged"),
    ],
)
def test_what_a_pickle_says_of_a_storage_is_checked(tmp_path, storage, says):
    data = pickled({"a": Untyped(0, (2, 3), (3, 1), storage=storage)})
    assert says in refusal(tmp_path, with_pickle(data))


def test_other_forms_of_file_are_named(tmp_path):
    data, content = pickled({"a": Untyped(0, (2, 3), (3, 1))}), {"a": torch.zeros(2, 3)}
    assert read(tmp_path, with_pickle(data))["a"].array.shape == (2, 3)
    old = saved(content, _use_new_zipfile_serialization=False)
    assert "before version 1.6" in refusal(tmp_path, old)
    members = {"data.pkl": data, "data/0": bytes(24)}
    assert read(tmp_path, zipped(members))
    assert "big-endian" in refusal(tmp_path, zipped(members | {"byteorder": b"big"}))
    packed = zipped(members, compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(tmp_path, packed)
    assert "no data.pkl" in refusal(tmp_path, zipped({"data/0": b""}))
    assert "no zip file" in refusal(tmp_path, b"")
    assert "no zip file" in refusal(tmp_path, b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_pickle_file(tmp_path / "absent.pth")


def test_places_in_the_zip_are_checked(tmp_path):
    whole = with_pickle(pickled({"a": Untyped(0, (2, 3), (3, 1))}), b"x" * 24)
    directory = whole.index(b"PK\1\2")
    entry = whole.index(b"PK\1\2", whole.index(b"archive/byteorder", directory))
    changed = bytearray(whole)
    struct.pack_into("<I", changed, entry + 42, 0)  # data/0 would begin where data.pkl does
    assert "damaged" in refusal(tmp_path, bytes(changed))
    for offset in (7, directory, 2**32 - 2):
        struct.pack_into("<I", changed, entry + 42, offset)
        assert "damaged" in refusal(tmp_path, bytes(changed))
    changed = bytearray(whole)
    for size in (20, 24):
        struct.pack_into("<I", changed, entry + size, 1000)
    assert "not where the zip says" in refusal(tmp_path, bytes(changed))
    changed = bytearray(whole)
    changed[entry + 8] |= 1
    assert "encrypted" in refusal(tmp_path, bytes(changed))
    assert "checksum" in refusal(
        tmp_path, whole.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v3")
    )
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "2", "w") as file:
        for _ in range(2):
            file.writestr("archive/data.pkl", b"")
    assert "twice" in refusal(tmp_path, (tmp_path / "2").read_bytes())


def test_an_extra_field_moves_the_numbers(tmp_path):
    """The local header has lengths of its own: what PyTorch's alignment makes use of."""
    content = {"a": torch.arange(6.0), "b": torch.arange(5.0)}
    whole = saved(content)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
    offset = entries["data/1"].header_offset
    assert struct.unpack_from("<HH", whole, offset + 26)[1] != len(entries["data/1"].extra)
    np.testing.assert_array_equal(read(tmp_path, whole)["b"].array, np.arange(5.0))


WHOLE = saved({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4).bfloat16()})


def only_our_own(path, content: bytes):
    path.write_bytes(content)
    try:
        found = read_pickle_file(path)
    except ValueError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return
    for kind, array in found.values():
        assert kind in pickle_file.DTYPES
        array.tobytes()  # every number can be reached


def test_cut_off_anywhere(tmp_path):
    for length in range(0, len(WHOLE), 7):
        refusal(tmp_path, WHOLE[:length])


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=damaged(WHOLE))
def test_damage_anywhere(tmp_path, content):
    only_our_own(tmp_path / "x.pth", content)


PICKLE = pickled({"a": Untyped(0, (2, 3), (3, 1)), "b": Untyped(2, (2,), (1,))})


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=damaged(PICKLE))
def test_damage_within_the_pickle(tmp_path, data):
    only_our_own(tmp_path / "x.pth", with_pickle(data))
