import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from altercell import _datafile
from altercell._datafile import decode, encode, read, write
from altercell.errors import ModelFileError


def through_json(value):
    return decode(json.loads(json.dumps(encode(value))))


def equal(a, b) -> bool:
    """Whether two values are the same in content and type, NaN being equal to NaN."""
    if isinstance(a, np.ndarray):
        same = isinstance(b, np.ndarray) and a.shape == b.shape and a.dtype == b.dtype
        return same and all(equal(x, y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.text(max_size=5) | st.sampled_from(["__type__", "items", "dtype"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(st.integers() | st.booleans() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_nested_values_come_back_with_their_types(value):
    assert equal(through_json(value), value)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["?", "<i4", ">i8", "u1", "f2", "<f4", ">f8", "c8", "M8[ns]", "S3"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 99),
)
def test_arrays_of_numbers_come_back_bit_by_bit(dtype, shape, seed):
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    array = np.frombuffer(raw, dtype=np.uint8)
    array = (array % 2).astype(bool) if dtype == "?" else array.view(dtype)
    array = array.reshape(shape)
    back = through_json(array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a", None, 1, 2.5, True], dtype=object),
        np.array([["a", "b"], ["c", "d"]], dtype=object),
        np.array([], dtype=object),
        np.array("alone", dtype=object),
        np.array(3.5),
        np.zeros((0, 4), dtype=np.float32),
    ],
)
def test_arrays_of_objects_and_odd_shapes(array):
    assert equal(through_json(array), array)


def test_an_array_of_sequences_stays_one_dimensional():
    array = np.empty(2, dtype=object)
    array[:] = [(1, 2), (3, 4)]
    back = through_json(array)
    assert back.shape == (2,)
    assert back.tolist() == [(1, 2), (3, 4)]


def test_non_contiguous_arrays_keep_their_values():
    array = np.arange(12.0).reshape(3, 4).T[::2]
    np.testing.assert_array_equal(through_json(array), array)


@pytest.mark.parametrize(
    "value",
    [
        np.array(["B cells", "NK"]),
        pd.Index(["B cells", "NK"]),
        pd.Categorical(["B cells", "NK"]),
        pd.array(["B cells", "NK"]),
    ],
)
def test_text_in_arrays_becomes_an_array_of_objects(value):
    back = through_json(value)
    assert back.dtype == object
    assert back.tolist() == ["B cells", "NK"]


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        ({1: np.int8(2)}, {1: 2}),
    ],
)
def test_numpy_scalars_become_pythons(value, back):
    assert equal(through_json(value), back)


def test_a_tensor_among_plain_data_becomes_an_array():
    assert equal(through_json({"n": torch.tensor([1.5, 2])}), {"n": np.array([1.5, 2], dtype=np.float32)})


def test_an_index_of_numbers_becomes_an_array_of_its_numbers():
    assert equal(through_json(pd.Index([3, 1])), np.array([3, 1]))


@pytest.mark.parametrize(
    "value",
    [print, object(), {"deep": [lambda: 0]}, {1, 2}, b"bytes", np.datetime64("2020"), torch.nn.Linear(1, 1), 1j],
)
def test_what_is_no_data_is_refused(value):
    with pytest.raises(ModelFileError, match="is not data and cannot be written"):
        encode(value)


def test_an_array_of_records_is_refused():
    with pytest.raises(ModelFileError, match="array of records"):
        encode(np.zeros(2, dtype=[("a", int)]))


def test_unknown_marks_and_arrays_of_raw_objects_are_refused():
    with pytest.raises(ModelFileError, match="unknown kind 'code'"):
        decode({"__type__": "code", "source": "print()"})
    with pytest.raises(ModelFileError, match="array of objects as raw bytes"):
        decode({"__type__": "array", "dtype": "|O", "shape": [1], "raw": "AAAAAAAAAAA="})


TENSORS = {
    "weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "step": torch.tensor(3),
    "mask": torch.tensor([True, False]),
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "file.safetensors"
    write(path, "model", {"name": "ScGen", "sizes": (1, 2)}, TENSORS)
    return path


def test_a_file_gives_back_what_was_written(written):
    meta, tensors = read(written, "model")
    assert meta == {"name": "ScGen", "sizes": (1, 2)}
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_tensors_that_share_memory_or_are_not_contiguous_can_be_written(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    write(tmp_path / "file", "model", {}, {"a": base, "b": base, "t": base.T, "grad": base.clone().requires_grad_()})
    tensors = read(tmp_path / "file", "model")[1]
    assert torch.equal(tensors["t"], base.T)
    assert torch.equal(tensors["a"], tensors["b"])


def test_nothing_is_left_beside_the_file(written):
    assert [path.name for path in written.parent.iterdir()] == ["file.safetensors"]


def test_a_write_that_fails_leaves_the_old_file(written, monkeypatch):
    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(_datafile, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        write(written, "model", {"name": "new"}, {})
    assert read(written, "model")[0]["name"] == "ScGen"
    assert len(list(written.parent.iterdir())) == 1


def test_meta_that_is_no_data_writes_nothing(tmp_path):
    with pytest.raises(ModelFileError, match="a function is not data"):
        write(tmp_path / "file", "model", {"f": test_meta_that_is_no_data_writes_nothing}, {})
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="there is no model file at '.*absent'"):
        read(tmp_path / "absent", "model")
    with pytest.raises(ModelFileError, match="there is no resume file"):
        read(tmp_path, "resume")


def test_a_file_of_another_kind_is_named(written):
    with pytest.raises(ModelFileError, match="is a model file, not a resume file"):
        read(written, "resume")


def test_another_format_version_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_datafile, "FORMAT", 99)
    write(tmp_path / "file", "model", {}, TENSORS)
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="file format 99; this altercell reads format 1: use the version"):
        read(tmp_path / "file", "model")


def crafted(path, text: str) -> None:
    """Write a file whose checksum is right and whose head is what somebody wished."""
    save_file({}, path, metadata={"altercell": text, "sha256": _datafile._digest(text, {})})


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        '{"format": 1, "kind": "model"}',
        '{"format": 1, "kind": "model", "meta": [1]}',
        '{"format": 1, "kind": "model", "meta": {"a": {"__type__": "array"}}}',
        '{"format": 1, "kind": "model", "meta": {"a": {"__type__": "array", "dtype": "<f4", "shape": [9], "raw": ""}}}',
        '{"format": 1, "kind": "model", "meta": {"a": {"__type__": "mapping", "items": [[[], 1]]}}}',
        '{"format": 1, "kind": "model", "meta": ' + 5_000 * '{"a": ' + "1" + 5_000 * "}" + "}",
    ],
)
def test_a_head_that_was_made_up_is_refused(tmp_path, text):
    crafted(tmp_path / "file", text)
    with pytest.raises(ModelFileError, match="has a header that altercell did not write"):
        read(tmp_path / "file", "model")


def test_a_head_with_an_unknown_mark_is_refused(tmp_path):
    crafted(tmp_path / "file", '{"format": 1, "kind": "model", "meta": {"a": {"__type__": "call"}}}')
    with pytest.raises(ModelFileError, match="the file holds a value of the unknown kind 'call'"):
        read(tmp_path / "file", "model")


def test_safetensors_of_others_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "bare")
    save_file({"a": torch.zeros(1)}, tmp_path / "other", metadata={"format": "pt"})
    for name in ("bare", "other"):
        with pytest.raises(ModelFileError, match="was not written by altercell"):
            read(tmp_path / name, "model")


def test_a_flipped_byte_anywhere_is_noticed(written):
    whole = bytearray(written.read_bytes())
    for place in range(len(whole)):
        broken = whole.copy()
        broken[place] ^= 0x01
        written.write_bytes(broken)
        with pytest.raises(ModelFileError, match="damaged|not a whole|not written by altercell"):
            read(written, "model")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_other_damage_is_noticed(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damage.safetensors"
    write(path, "model", {"name": "ScGen"}, TENSORS)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    mask = data.draw(st.integers(1, 255))
    broken = whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :]
    path.write_bytes(broken)
    try:
        meta, tensors = read(path, "model")
    except ModelFileError:
        return
    # A blank of the header's padding can become another blank; nothing else may pass.
    assert meta == {"name": "ScGen"}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_a_truncated_file_is_noticed(written):
    whole = written.read_bytes()
    for length in [0, 1, 7, 8, 50, len(whole) // 2, len(whole) - 1]:
        written.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="not a whole model file"):
            read(written, "model")


@pytest.mark.parametrize("tail", [b"\0", b"x" * 1000])
def test_trailing_bytes_are_noticed(written, tail):
    written.write_bytes(written.read_bytes() + tail)
    with pytest.raises(ModelFileError, match="not a whole model file"):
        read(written, "model")


class Payload:
    ran = False

    def __reduce__(self):
        return (setattr, (Payload, "ran", True))


def test_a_planted_pickle_does_not_run(tmp_path):
    planted = tmp_path / "model.safetensors"
    for write_payload in (
        lambda: planted.write_bytes(pickle.dumps(Payload())),
        lambda: torch.save({"a": Payload()}, planted),
    ):
        write_payload()
        with pytest.raises(ModelFileError, match="not a whole model file"):
            read(planted, "model")
        assert not Payload.ran
    with planted.open("rb") as file:  # the payload is real: torch would run it
        torch.load(file, weights_only=False)
    assert Payload.ran
