// train_events.h: the numbers of a run as TensorBoard reads them: an event file of scalars.
//
// A file is a list of records: the length as 8 bytes, its masked CRC-32C as 4, the bytes, their masked CRC-32C
// (TFRecord; all little-endian). A record is a protocol buffer Event: wall_time (1, double), step (2, varint),
// file_version (3, the first record alone), summary (5): values (1) of tag (1) and simple_value (2, float). Formats as
// published with TensorFlow: tensorflow/core/lib/io/record_writer.h, core/util/event.proto,
// core/framework/summary.proto.
#ifndef SY_TRAIN_EVENTS_H
#define SY_TRAIN_EVENTS_H

#include "ir/base/base.h"

#include <stdio.h>

uint32_t crc32c(const void *data, size_t n);
// A record with one event, appended to the text.
typedef struct EventValue {
  const char *tag;
  double value;
} EventValue;
void events_begin(Buf *out, double wall);
void events_put(Buf *out, double wall, uint64_t step, const EventValue *value, size_t n);
// Of the bytes of an event file those records from the start that are whole and of steps up to `step`; how many.
size_t events_until(const void *data, size_t n, uint64_t step, size_t *records);

#endif
