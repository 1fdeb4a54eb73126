"""Small pictures of every mode that Pillow opens JPEG, PNG, PPM and PGM files in, and what it makes of them.

Writes ../golden/pictures: the files, and for each the bytes after conversion to RGB, resize and crop in both orders. The
resize and the crop are torchvision's (Resize and CenterCrop call Pillow; the arithmetic of sizes is repeated here). Needs
Pillow and numpy (apt-get install python3-pil python3-numpy); cases.json records the version that gave the values.
"""
import io
import json
import pathlib
import struct
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image

OUT = pathlib.Path(__file__).resolve().parent.parent / "golden" / "pictures"
W, H = 23, 17
y, x = np.mgrid[0:H, 0:W]
seed = np.random.RandomState(3)
RGB = np.stack([x * 11, y * 14, (x * y * 5) % 256], -1).astype(np.uint8) ^ seed.randint(0, 32, (H, W, 3), dtype=np.uint8)
ALPHA = ((x * 23 + y * 5) % 256).astype(np.uint8) * (x > 4)
GREY = RGB[..., 1]
DEEP = (x * 60 + y * 9 + (x > 12) * 40000).astype(">u2")  # around 255, where the conversion to RGB clips, and far above


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) & 0xFFFFFFFF)


def rows(a, bits=8):
    """Scanlines of samples, with filter byte 0, packed where samples have fewer than 8 bits."""
    if bits < 8:
        lines = [np.packbits(((line[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).ravel()) for line in a]
    else:
        lines = list(a)
    return b"".join(b"\0" + line.tobytes() for line in lines)


def adam7(a):
    steps = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
    return b"".join(rows(a[r::dr, c::dc]) for c, r, dc, dr in steps if a[r::dr, c::dc].size)


def png(kind, bits, raw, before=b"", interlace=0):
    head = struct.pack(">IIBBBBB", W, H, bits, kind, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def jpeg(mode, **options):
    data = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(data, "JPEG", quality=95, **options)
    return data.getvalue()


def exif(orientation):
    data = Image.Exif()
    data[0x112] = orientation
    return data


def adobe(transform):
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


def with_transform(data, transform):
    """A JPEG with another Adobe marker behind its first two bytes (None: without any), in place of what stands there."""
    at = 2
    while data[at + 1] in (0xE0, 0xEE):
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    return data[:2] + (b"" if transform is None else adobe(transform)) + data[at:]


palette = seed.randint(0, 256, (256, 3), dtype=np.uint8)
INDEX = (RGB[..., 0] // 2 + x).astype(np.uint8)
PLTE = chunk(b"PLTE", palette.tobytes())
both = np.dstack([GREY, ALPHA])
rgba = np.dstack([RGB, ALPHA])
wide = (rgba.astype(">u2") * 257) ^ 0x55
p6 = lambda top: b"P6 # remark\n%d %d %d\n" % (W, H, top)
p5 = lambda top: b"P5\r# remark\r%d\n%d\n%d\n" % (W, H, top)
files = {
    "grey.jpg": jpeg("L"),
    "rgb.jpg": jpeg("RGB"),
    "turned.jpg": jpeg("RGB", exif=exif(6)),
    "progressive.jpg": jpeg("RGB", progressive=True),
    "rgb_not_ycc.jpg": with_transform(jpeg("RGB", subsampling=0), 0),
    "cmyk.jpg": jpeg("CMYK"),
    "cmyk_without_adobe.jpg": with_transform(jpeg("CMYK"), None),
    "ycck.jpg": with_transform(jpeg("CMYK"), 2),
    "bits1.png": png(0, 1, rows(GREY >> 7, 1)),
    "bits2.png": png(0, 2, rows(GREY >> 6, 2)),
    "bits4.png": png(0, 4, rows(GREY >> 4, 4)),
    "bits8.png": png(0, 8, rows(GREY)),
    "bits8_key.png": png(0, 8, rows(GREY), chunk(b"tRNS", struct.pack(">H", int(GREY[3, 3])))),
    "bits16.png": png(0, 16, rows(DEEP)),
    "bits16_low.png": png(0, 16, rows(DEEP % 300)),
    "bits16_key.png": png(0, 16, rows(DEEP), chunk(b"tRNS", struct.pack(">H", int(DEEP[3, 3])))),
    "grey_alpha.png": png(4, 8, rows(both)),
    "grey_alpha16.png": png(4, 16, rows(wide[..., 2:])),
    "rgb.png": png(2, 8, rows(RGB)),
    "rgb_gamma.png": png(2, 8, rows(RGB), chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sBIT", b"\5\6\5")),
    "rgb_key.png": png(2, 8, rows(RGB), chunk(b"tRNS", struct.pack(">HHH", *map(int, RGB[3, 3])))),
    "rgb_interlaced.png": png(2, 8, adam7(RGB), interlace=1),
    "rgb16.png": png(2, 16, rows(wide[..., :3])),
    "rgba.png": png(6, 8, rows(rgba)),
    "rgba_opaque.png": png(6, 8, rows(np.dstack([RGB, 0 * ALPHA + 255]))),
    "rgba_interlaced.png": png(6, 8, adam7(rgba), interlace=1),
    "rgba16.png": png(6, 16, rows(wide)),
    "palette1.png": png(3, 1, rows(GREY >> 7, 1), PLTE[:0] + chunk(b"PLTE", palette[:2].tobytes())),
    "palette2.png": png(3, 2, rows(GREY >> 6, 2), chunk(b"PLTE", palette[:4].tobytes())),
    "palette4.png": png(3, 4, rows(GREY >> 4, 4), chunk(b"PLTE", palette[:16].tobytes())),
    "palette8.png": png(3, 8, rows(INDEX), PLTE),
    "palette_key.png": png(3, 8, rows(INDEX), PLTE + chunk(b"tRNS", b"\xff\xff\xff\0")),
    "palette_alpha.png": png(3, 8, rows(INDEX), PLTE + chunk(b"tRNS", bytes(range(256)))),
    "palette_interlaced.png": png(3, 8, adam7(INDEX), PLTE, interlace=1),
    "grey.pgm": p5(255) + GREY.tobytes(),
    "grey10.pgm": p5(10) + (GREY % 11).tobytes(),
    "grey1000.pgm": p5(1000) + (DEEP % 1001).astype(">u2").tobytes(),
    "grey65535.pgm": p5(65535) + DEEP.tobytes(),
    "rgb.ppm": p6(255) + RGB.tobytes(),
    "rgb30.ppm": p6(30) + (RGB % 31).tobytes(),
    "rgb1023.ppm": p6(1023) + wide[..., :3].astype(int).__mod__(1024).astype(">u2").tobytes(),
}
FILTER = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
recipes = [  # name, resize, size, crop, filter
    ("small", "shorter", 9, 9, "bilinear"),
    ("square", "square", 8, None, "bicubic"),
    ("large", "shorter", 19, 6, "bicubic"),
    ("kept", "shorter", 17, 5, "bicubic"),
]


def prepare(picture, resize, size, crop, kind, last):
    if not last:
        picture = picture.convert("RGB")
    w, h = picture.size
    if resize == "square":
        to = size, size
    else:
        to = (size, int(size * h / w)) if w <= h else (int(size * w / h), size)
    picture = picture.resize(to, FILTER[kind])
    if crop:
        left, top = int(round((to[0] - crop) / 2.0)), int(round((to[1] - crop) / 2.0))
        picture = picture.crop((left, top, left + crop, top + crop))
    return np.array(picture.convert("RGB"))


def main():
    warnings.simplefilter("ignore")
    OUT.mkdir(exist_ok=True)
    cases, tensors = [], {}
    for file, data in files.items():
        (OUT / file).write_bytes(data)
        for name, resize, size, crop, kind in recipes:
            for order in "first", "last":
                key = "%s.%s.%s" % (file, name, order)
                tensors[key] = prepare(Image.open(io.BytesIO(data)), resize, size, crop, kind, order == "last")
                attributes = {"rgb": order, "resize": resize, "filter": kind, "mean": [0, 0, 0], "std": [1, 1, 1]}
                case = {"name": key, "kind": "preprocess", "tensors": ["io.safetensors"], "attributes": attributes,
                        "image": file, "size": size, "outputs": {"u8": key}}
                if crop:
                    attributes["crop"], case["crop_size"] = "center", crop
                cases.append(case)
    head, data = {}, b""
    for key, value in tensors.items():
        head[key] = {"dtype": "U8", "shape": list(value.shape), "data_offsets": [len(data), len(data) + value.size]}
        data += value.tobytes()
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (OUT / "io.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    source = "Pillow %s with libjpeg-turbo" % PIL.__version__
    (OUT / "cases.json").write_text('{\n "format": 1,\n "set": "pictures",\n "source": "%s",\n "cases": [\n%s\n ]\n}\n' % (source, lines))


main()
