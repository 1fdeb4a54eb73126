// hf_post.c - post-processors: the ids put around a text. Those of one text alone are read for use; what a file says of
// pairs is checked to be there and not needed, as no route takes two texts as one.
#include "hf_parts.h"

#include <string.h>

enum { MOST_AROUND = 4096 }; // ids, pieces of a template and special tokens: what is looked through for each other

// Ids of the special token that a piece of a template names.
static bool add_special(const HfNode *piece, const HfNode *tokens, HfPool *pool, HfIds *to, HostError *err) {
  HfNode id = hf_member(piece, "id");
  if (!id.v || !hf_is(id.v, HF_TEXT)) return hf_fail(piece, err, "a special token needs its \"id\", a string");
  HfNode token = hf_member(tokens, id.v->text), ids = hf_member(&token, "ids"), names = hf_member(&token, "tokens");
  if (!token.v) return hf_fail(&id, err, "'%.40s' is not among special_tokens", id.v->text);
  if (!hf_only(&token, " id ids tokens ", "a special token", err)) return false;
  if (!ids.v || !hf_is(ids.v, HF_LIST) || !names.v || !hf_is(names.v, HF_LIST))
    return hf_fail(&token, err, "a special token needs lists \"ids\" and \"tokens\"");
  size_t more = ids.v->n;
  if (to->n + more > MOST_AROUND)
    return hf_fail(piece, err, "there are more than %d ids around a text", (int)MOST_AROUND);
  int32_t *at = hf_new(pool, (to->n + more + 1) * sizeof *at);
  if (!at) return host_no_memory(err);
  if (to->n) memcpy(at, to->id, to->n * sizeof *at);
  HfNode one = {.v = ids.v->child, .up = &ids};
  for (; one.v; one.v = one.v->next, one.index++) {
    size_t n;
    if (!hf_count(&one, INT32_MAX - 1, &n, err)) return false;
    at[to->n + one.index] = (int32_t)n;
  }
  *to = (HfIds){at, to->n + more};
  return true;
}

static bool ready_template(HfStep *s, HfPool *pool, const HfNode *at, HostError *err) {
  HfNode single = hf_member(at, "single"), tokens = hf_member(at, "special_tokens");
  if (!hf_is(single.v, HF_LIST)) return hf_fail(&single, err, "this must be a list [..]");
  if (!hf_is(tokens.v, HF_OBJECT)) return hf_fail(&tokens, err, "this must be an object {..}");
  if (single.v->n > MOST_AROUND || tokens.v->n > MOST_AROUND)
    return hf_fail(at, err, "the template has more than %d pieces or special tokens", (int)MOST_AROUND);
  bool text = false;
  HfNode one = {.v = single.v->child, .up = &single};
  for (; one.v; one.v = one.v->next, one.index++) {
    HfNode sequence = hf_member(&one, "Sequence"), special = hf_member(&one, "SpecialToken");
    if (!hf_only(&one, " Sequence SpecialToken ", "a piece of a template", err)) return false;
    if (!sequence.v == !special.v) return hf_fail(&one, err, "this must be a Sequence or a SpecialToken");
    if (special.v && !add_special(&special, &tokens, pool, text ? &s->after : &s->before, err)) return false;
    if (!sequence.v) continue;
    HfNode id = hf_member(&sequence, "id");
    if (!id.v || !hf_is(id.v, HF_TEXT) || strcmp(id.v->text, "A") != 0 || text)
      return hf_fail(&sequence, err, "a template of one text has it once, as sequence A");
    text = true;
  }
  return text || hf_fail(&single, err, "the template does not have the text");
}

static const HfKind kinds[] = {
    {"TemplateProcessing",
     {{"single", HF_LATER, 0, HF_NEEDED}, {"pair", HF_LATER, 0, HF_NEEDED}, {"special_tokens", HF_LATER, 0, HF_NEEDED}},
     .ready = ready_template},
    {"BertProcessing", {{"sep", HF_TOKEN, 1, HF_NEEDED}, {"cls", HF_TOKEN, 0, HF_NEEDED}}, .ready = NULL},
    {"RobertaProcessing",
     {{"sep", HF_TOKEN, 1, HF_NEEDED},
      {"cls", HF_TOKEN, 0, HF_NEEDED},
      {"trim_offsets", HF_PASSED, 0, 0},
      {"add_prefix_space", HF_PASSED, 0, 0}},
     .ready = NULL},
    {"ByteLevel",
     {{"add_prefix_space", HF_PASSED, 0, 0}, {"trim_offsets", HF_PASSED, 0, 0}, {"use_regex", HF_PASSED, 0, 0}},
     .ready = NULL},
    {"Sequence", {{"processors", HF_STEPS, 0, HF_NEEDED}}, .ready = NULL},
    {0}};
const HfSection hf_post_processor = {"post_processor", kinds, " "};
