"""Writes GGUF version 3: metadata, tensor table, tensors aligned to 32 bytes."""
import struct

import numpy

ALIGNMENT = 32
F32, F16, Q8_0 = 0, 1, 8
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_Q8_BLOCK = 32


def _string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value):
    """(type, bytes) of a Python value: bool, int, float, str, or a list of strings or ints."""
    if isinstance(value, bool):
        return _BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return _UINT32, struct.pack("<I", value)
    if isinstance(value, float):
        return _FLOAT32, struct.pack("<f", value)
    if isinstance(value, str):
        return _STRING, _string(value)
    if all(isinstance(item, str) for item in value):
        return _ARRAY, struct.pack("<IQ", _STRING, len(value)) + b"".join(map(_string, value))
    return _ARRAY, struct.pack("<IQ", _INT32, len(value)) + struct.pack(f"<{len(value)}i", *value)


def quantize_q8_0(rows):
    """f32 [n, k] -> bytes: for 32 values an f16 scale, then 32 int8; rounded to the nearest."""
    blocks = rows.reshape(-1, _Q8_BLOCK).astype(numpy.float32)
    scale = numpy.abs(blocks).max(1) / 127
    inverse = numpy.divide(1, scale, out=numpy.zeros_like(scale), where=scale > 0)
    quants = numpy.rint(blocks * inverse[:, None]).astype(numpy.int8)
    out = numpy.empty(len(blocks), [("scale", "<f2"), ("quants", "i1", _Q8_BLOCK)])
    out["scale"], out["quants"] = scale.astype(numpy.float16), quants
    return out.tobytes()


def _encode(array, kind):
    if kind == F32:
        return array.astype("<f4").tobytes()
    if kind == F16:
        return array.astype("<f2").tobytes()
    return quantize_q8_0(array)


def write(path, metadata, tensors, matrix_type):
    """metadata: {key: value}; tensors: {name: f32 array}. Vectors stay F32, matrices get `matrix_type`."""
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, data = _value(value)
        header += _string(key) + struct.pack("<I", kind) + data
    table, blobs, offset = b"", [], 0
    for name, array in tensors.items():
        kind = matrix_type if array.ndim == 2 else F32
        data = _encode(array, kind)
        # GGUF counts dimensions from the innermost.
        table += _string(name) + struct.pack("<I", array.ndim)
        table += struct.pack(f"<{array.ndim}Q", *reversed(array.shape)) + struct.pack("<IQ", kind,
            offset)
        padding = -len(data) % ALIGNMENT
        blobs.append(data + bytes(padding))
        offset += len(data) + padding
    head = header + table
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT))
        for blob in blobs:
            file.write(blob)
