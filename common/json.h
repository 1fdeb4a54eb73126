// json.h - the one writer of JSON, for syc and compiled programs alike. It streams: no memory is taken, so that nothing
// can be left out for want of it.
//
// Invariants: what is written is valid JSON in UTF-8, whatever bytes the strings have. A byte that is no UTF-8 becomes
// U+FFFD, and the string's member is followed by KEY_hex, all its bytes as hexadecimal digits. What text.h does not
// show is written as \u001b. Numbers are the shortest that read back as the same; NaN and infinities are null.
//
//   Json j = {.put = text_to_file, .ud = stdout, .lines = 2};
//   json_object(&j, NULL);
//   json_string(&j, "image", "caf\xe9.jpg");
//   json_array(&j, "top");
//   json_double(&j, NULL, 0.1);
//   json_end_all(&j);
//
//   {
//     "image": "caf\ufffd.jpg",
//     "image_hex": "636166e92e6a7067",
//     "top": [
//       0.1
//     ]
//   }
#ifndef SWITCHYARD_COMMON_JSON_H
#define SWITCHYARD_COMMON_JSON_H

#include "text.h"

enum { JSON_DEEPEST = 32, JSON_ALL_LINES = JSON_DEEPEST };

typedef struct Json {
  TextSink *put;
  void *ud;
  unsigned lines; // of how many levels each member stands on a line of its own
  unsigned depth; // containers that are open
  bool filled;    // the innermost has a member
  char close[JSON_DEEPEST];
} Json;

// The key of a member; NULL in an array, and for the outermost value.
void json_object(Json *j, const char *key);
void json_array(Json *j, const char *key);
void json_end(Json *j);     // closes the innermost; behind the outermost the line ends
void json_end_all(Json *j); // what is open
void json_string(Json *j, const char *key, const char *value); // NULL: null
void json_double(Json *j, const char *key, double value);
void json_float(Json *j, const char *key, float value); // as many digits as a float needs
void json_integer(Json *j, const char *key, int64_t value);
void json_unsigned(Json *j, const char *key, uint64_t value);
void json_hash(Json *j, const char *key, uint64_t value); // 16 hexadecimal digits, as a string
void json_bool(Json *j, const char *key, bool value);

#endif
