// train_events.c: see train_events.h.
#include "train_events.h"

#include <string.h>

// Castagnoli's polynomial, bits reversed.
uint32_t crc32c(const void *data, size_t n) {
  const unsigned char *p = data;
  uint32_t c = 0xffffffffu;
  for (size_t i = 0; i < n; i++) {
    c ^= p[i];
    for (int k = 0; k < 8; k++) c = (c >> 1) ^ (0x82f63b78u & (0u - (c & 1)));
  }
  return ~c;
}

static uint32_t masked(const void *data, size_t n) {
  uint32_t c = crc32c(data, n);
  return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

static void put_bytes(Buf *b, uint64_t v, size_t n) { // little-endian
  for (size_t i = 0; i < n; i++) buf_putc(b, (char)(unsigned char)(v >> (8 * i)));
}
static uint64_t get_bytes(const unsigned char *p, size_t n) {
  uint64_t v = 0;
  for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
  return v;
}

static void put_varint(Buf *b, uint64_t v) {
  for (; v >= 0x80; v >>= 7) buf_putc(b, (char)(unsigned char)(v | 0x80));
  buf_putc(b, (char)(unsigned char)v);
}

// Fields of a message: number and kind of encoding in one byte.
enum { AS_VARINT = 0, AS_64 = 1, AS_BYTES = 2, AS_32 = 5 };
static void put_key(Buf *b, unsigned field, unsigned as) {
  buf_putc(b, (char)(field << 3 | as));
}
static void put_field(Buf *b, unsigned field, const void *data, size_t n) {
  put_key(b, field, AS_BYTES);
  put_varint(b, n);
  buf_putn(b, data, n);
}
static void put_double(Buf *b, unsigned field, double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  put_key(b, field, AS_64);
  put_bytes(b, bits, 8);
}
static void put_float(Buf *b, unsigned field, float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  put_key(b, field, AS_32);
  put_bytes(b, bits, 4);
}

static void put_record(Buf *out, const Buf *event) {
  Buf length = {0};
  put_bytes(&length, event->n, 8);
  buf_putn(out, length.s, 8);
  put_bytes(out, masked(length.s, 8), 4);
  buf_putn(out, event->s, event->n);
  put_bytes(out, masked(event->s, event->n), 4);
  buf_free(&length);
}

void events_begin(Buf *out, double wall) {
  static const char version[] = "brain.Event:2";
  Buf event = {0};
  put_double(&event, 1, wall);
  put_field(&event, 3, version, sizeof version - 1);
  put_record(out, &event);
  buf_free(&event);
}

void events_put(Buf *out, double wall, uint64_t step, const EventValue *value, size_t n) {
  Buf event = {0}, summary = {0};
  for (size_t i = 0; i < n; i++) {
    Buf one = {0};
    put_field(&one, 1, value[i].tag, strlen(value[i].tag));
    put_float(&one, 2, (float)value[i].value);
    put_field(&summary, 1, one.s, one.n);
    buf_free(&one);
  }
  put_double(&event, 1, wall);
  put_key(&event, 2, AS_VARINT);
  put_varint(&event, step);
  put_field(&event, 5, summary.n ? summary.s : "", summary.n);
  put_record(out, &event);
  buf_free(&event);
  buf_free(&summary);
}

// The step of an event as events_put writes it: behind the time; 0 where there is none.
static uint64_t step_of(const unsigned char *p, size_t n) {
  uint64_t v = 0;
  if (n < 10 || p[0] != (1 << 3 | AS_64) || p[9] != (2 << 3 | AS_VARINT)) return 0;
  for (size_t i = 10, shift = 0; i < n && shift < 64; i++, shift += 7) {
    v |= (uint64_t)(p[i] & 0x7f) << shift;
    if (!(p[i] & 0x80)) break;
  }
  return v;
}

size_t events_until(const void *data, size_t n, uint64_t step, size_t *records) {
  const unsigned char *p = data;
  size_t at = 0;
  *records = 0;
  while (n - at >= 16) {
    uint64_t length = get_bytes(p + at, 8);
    if (get_bytes(p + at + 8, 4) != masked(p + at, 8) || length > n - at - 16) break;
    const unsigned char *event = p + at + 12;
    if (get_bytes(event + length, 4) != masked(event, (size_t)length) || step_of(event, (size_t)length) > step) break;
    at += (size_t)length + 16;
    ++*records;
  }
  return at;
}
