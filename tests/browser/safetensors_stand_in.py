"""A stand-in for safetensors in a Pyodide that has none: what the course calls of it, in Python."""

import json


class SafetensorError(Exception):
    pass


class safe_open:  # noqa: N801, the library's own name
    def __init__(self, path, framework):
        with open(path, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        header.pop("__metadata__", None)
        self.header = dict(sorted(header.items(), key=lambda item: item[1]["data_offsets"]))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def offset_keys(self):
        return list(self.header)

    def get_slice(self, name):
        return Slice(self.header[name])


class Slice:
    def __init__(self, entry):
        self.entry = entry

    def get_dtype(self):
        return self.entry["dtype"]

    def get_shape(self):
        return self.entry["shape"]
