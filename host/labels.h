// labels.h - names of classes, and lists of lines.
//
//   HostLabels labels;
//   if (!host_labels_load("imagenet.txt", &labels, &err)) return report(err.text);
//   puts(labels.name[281]);
//   host_labels_free(&labels);
//
// Labels are lines of text, or JSON (labels_json.c):
//
//   tench                                       a line each, in order
//   0<tab>tench  or  tench<tab>0                each with its number, with ',' ';' ':' too, if all are 0, 1, .. or 1,
//   2, ..
//   ["tench", "goldfish"]                       the names in order; [["n01440764", "tench"], ...] too
//   {"0": "tench", "1": "goldfish"}             by number; {"0": ["n01440764", "tench"], ...} too
//   {"tench": 0, "goldfish": 1}                 numbers by name
//   {..., "id2label": {"0": "tench"}, ...}      a config.json of Hugging Face; "label2id" too
#ifndef SWITCHYARD_HOST_LABELS_H
#define SWITCHYARD_HOST_LABELS_H

#include "host.h"

typedef struct {
  char *text;  // file content, cut into strings
  char **name; // [count]
  size_t count;
} HostLabels;

// A line a label. Empty lines at the end do not count, others are an error, as is what is no UTF-8: both name the line.
SY_MUST_USE bool host_labels_load(const char *path, HostLabels *labels, HostError *err);
// Lines as they are, the empty ones too: names of files, sentences. A line break at the end starts no line.
SY_MUST_USE bool host_lines_load(const char *path, HostLabels *lines, HostError *err);
void host_lines_trim(HostLabels *lines); // leaves out empty lines at the end
void host_labels_free(HostLabels *labels);

// Of a JSON text with a zero byte behind its n bytes; labels->text is that text, which is changed. False: err says
// what is wrong and at which byte; labels->name may be set.
SY_MUST_USE bool host_labels_json(HostLabels *labels, size_t n, HostError *err);

#endif
