"""events.py FILE: the scalars of a TensorBoard event file, a line each: step, tag, value, time. Reads the framing and the protocol
buffers by itself and exits with 1 where a checksum or a field is not what it should be."""
import struct
import sys

TABLE = []
for i in range(256):
    for _ in range(8):
        i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
    TABLE.append(i)


def crc32c(data):
    c = 0xFFFFFFFF
    for byte in data:
        c = TABLE[(c ^ byte) & 255] ^ (c >> 8)
    return c ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283  # of the published test vectors


def check(data, stored):
    c = crc32c(data)
    rotated = ((c >> 15) | (c << 17)) & 0xFFFFFFFF
    if (rotated + 0xA282EAD8) & 0xFFFFFFFF != stored:
        sys.exit("a checksum is wrong")


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif kind == 5:
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        elif kind == 2:
            n, at = varint(data, at)
            value, at = data[at:at + n], at + n
            if len(value) != n:
                sys.exit("a field is cut off")
        else:
            sys.exit("an unknown encoding %d" % kind)
        yield key >> 3, value


def main():
    data = open(sys.argv[1], "rb").read()
    at = number = 0
    while at < len(data):
        length, crc = struct.unpack_from("<QI", data, at)
        check(data[at:at + 8], crc)
        event = data[at + 12:at + 12 + length]
        check(event, struct.unpack_from("<I", data, at + 12 + length)[0])
        at += length + 16
        found = dict(fields(event))
        if number == 0 and found.get(3) != b"brain.Event:2":
            sys.exit("the first record has no version")
        for number_of, value in fields(found.get(5, b"")):
            if number_of != 1:
                sys.exit("a summary has something else than values")
            scalar = dict(fields(value))
            print(found.get(2, 0), scalar[1].decode(), "%.9g" % scalar[2], "%.3f" % found[1])
        number += 1


main()
