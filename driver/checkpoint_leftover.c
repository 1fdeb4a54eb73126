// checkpoint_leftover.c: tensors of a checkpoint that no weight of the model stands for. Some change what the network
// computes: LayerScale, a norm or a bias more, adapters, further layers. Leaving those out gives other numbers, so they
// are an error, unless --ignore names them. All others (heads, towers, queues, buffers) are noted.
//
// The rule, on names without their prefix. A module is what stands before a point; it is used if the model has a weight
// in it. From the left a name goes through used modules as far as it can; what comes next is the first part that is not
// used. The tensor lies in a used module if
//   1. it went through an item of a list ("blocks.0.ls1.gamma", "encoder_layer_0.x"), or
//   2. that part is a further item of a list ("layers.12.x" where layers 0 to 11 are used), or
//   3. the module it left is open, and the part is no other end of a network (`elsewhere`: heads, decoders, queues),
//      and it is of a kind that stands in the way of the data (`in_the_way`: norms, embeddings, attention), or the
//      module has weights of its own and is not the outermost one ("encoder.x" beside "encoder.pos_embedding").
// Open are modules with weights of their own, with two used modules, or with one that is a list or has nothing but
// weights. Two more are inside: a bias where only the factor is used ("logit_bias" beside "logit_scale"), and a table
// that the model takes from elsewhere and that is another one in the file (`is_untied`). Weights that only other routes
// of the page ask for are known and no leftovers; adapters (LoRA) are an error anywhere.
#include "ir/rename.h"
#include "weights.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_INSIDE = 20, SHOWN_UNUSED = 12, MAX_PART = 256 };

typedef VEC(const char *) Names;

typedef struct Level { // a used module
  const char *path;    // "encoder.layers"; "" is the outermost
  bool leaf;           // has weights of its own
  size_t modules;      // used modules directly below
} Level;

typedef struct Leftovers {
  Session *s;
  Arena *arena;
  const Checkpoint *c;
  const Module *module;
  Names used, known; // sorted: weights of the program; also of the page's other routes, under all their names
  VEC(Level) level;  // by path
} Leftovers;

/* patterns ------------------------------------------------------------------------------------------------------------
 */
static const char *const adapters[] = {"lora", "lora_*", "ia3*", "hada_*", "adapter*", NULL};

// Other ends of a network than the one that is compiled, and what only training needs.
static const char *const elsewhere[] = {
    "head*",    "*head",       "*heads",     "*_head_*", "classifier*", "*_classifier", "*decode*",    "*predictions*",
    "*pooler*", "lm_*",        "mlm_*",      "itm_*",    "itc_*",       "*_score",      "*projection", "*projector*",
    "*proj",    "*queue*",     "ema",        "ema_*",    "*_ema",       "*momentum*",   "*_mom",       "*_m",
    "teacher*", "student*",    "aux*",       "*loss*",   "criterion*",  "fc",           "mask_token*", "logit_*",
    "temp",     "temperature", "*optimizer", "optim",    "center",      "cls",          "*scheduler",  "*discrim*",
    NULL};

// What changes the data on their way through the module that it stands in.
static const char *const in_the_way[] = {
    "*norm*",    "ln_*",       "*_ln",      "ln",       "ln?",    "bn",         "bn?",    "*embed*",     "*token*",
    "*pos_*",    "*position*", "*rope*",    "*rotary*", "*rel_*", "*relative*", "*attn*", "*attention*", "*prompt*",
    "*adapter*", "*gamma*",    "ls?",       "*scale*",  "gate*",  "*_gate",     "pre_*",  "*patch*",     "blocks",
    "layers",    "layer",      "resblocks", "stages",   "*_emb",  NULL};

// Buffers that a page computes itself, or that only training needs, whatever their type.
static const char *const buffers[] = {"*position_ids",
                                      "*relative_position_index",
                                      "*relative_coords_table",
                                      "*num_batches_tracked",
                                      "*attn_mask",
                                      "*causal_mask",
                                      "*masked_bias",
                                      "*cluster_size",
                                      "*embed_avg",
                                      "*initted",
                                      "optimizer.*",
                                      NULL};

static bool is_one_of(const char *const *pattern, const char *name) {
  for (; *pattern; pattern++)
    if (text_matches(*pattern, name)) return true;
  return false;
}

/* used modules --------------------------------------------------------------------------------------------------------
 */
static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_path(const void *a, const void *b) {
  return strcmp(((const Level *)a)->path, ((const Level *)b)->path);
}

static void sort_names(Names *n) {
  if (n->n) qsort(n->at, n->n, sizeof *n->at, by_text);
}

static bool has_name(const Names *n, const char *name) {
  return n->n && bsearch(&name, n->at, n->n, sizeof *n->at, by_text);
}

// The first name that is not before `text`.
static const char *first_from(const Names *n, const char *text) {
  size_t lo = 0, hi = n->n;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (strcmp(n->at[mid], text) < 0)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo < n->n ? n->at[lo] : NULL;
}

static const Level *find_level(const Leftovers *l, const char *path) {
  Level key = {.path = path};
  return bsearch(&key, l->level.at, l->level.n, sizeof key, by_path);
}

// Names of one module are neighbours, so that a module begins where the name before does not have its path in front.
static void add_levels(Leftovers *l) {
  VEC(size_t) open = {0}; // positions of the modules that the name before went through
  Level root = {.path = ""};
  VEC_PUSH(l->arena, l->level, root);
  for (size_t i = 0; i < l->used.n; i++) {
    const char *name = l->used.at[i], *before = i ? l->used.at[i - 1] : NULL;
    size_t at = 0, depth = 0;
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.'), depth++) {
      size_t n = (size_t)(dot - name);
      if (before && !strncmp(before, name, n + 1)) {
        at = open.at[depth];
        continue;
      }
      Level new = {.path = arena_strndup(l->arena, name, n)};
      l->level.at[at].modules++;
      at = l->level.n;
      VEC_PUSH(l->arena, l->level, new);
      open.n = depth;
      VEC_PUSH(l->arena, open, at);
    }
    l->level.at[at].leaf = true;
  }
  qsort(l->level.at, l->level.n, sizeof *l->level.at, by_path);
}

static bool is_open(const Leftovers *l, const Level *level) {
  if (level->leaf || level->modules > 1) return true;
  const char *below = arena_printf(l->arena, "%s%s", level->path, level->path[0] ? "." : "");
  const char *name = first_from(&l->used, below), *dot = name ? strchr(name + strlen(below), '.') : NULL;
  const Level *only = dot ? find_level(l, arena_strndup(l->arena, name, (size_t)(dot - name))) : NULL;
  bool list = only && isdigit((unsigned char)dot[1]); // a norm beside the layers: "transformer.norm"
  return list || (only && !only->modules);
}

// How much of a part stands before the number at its end; the length if there is none.
static size_t stem_of(const char *part, size_t n) {
  size_t k = n;
  while (k && isdigit((unsigned char)part[k - 1])) k--;
  return k;
}

static bool is_item(const char *part, size_t n) {
  size_t k = stem_of(part, n);
  return k < n && (!k || part[k - 1] == '_');
}

// Does the module use another item of the list that the part is of?
static bool has_sibling(const Leftovers *l, const char *name, size_t at, size_t n) {
  size_t k = stem_of(name + at, n);
  if (k == n) return false;
  const char *first = first_from(&l->used, arena_printf(l->arena, "%.*s0", (int)(at + k), name));
  return first && !strncmp(first, name, at + k) && isdigit((unsigned char)first[at + k]);
}

// Rules 2 and 3 for the part of n bytes at `at`, which follows the used module `level`.
static bool part_is_inside(const Leftovers *l, const Level *level, const char *name, size_t at, size_t n) {
  char part[MAX_PART];
  snprintf(part, sizeof part, "%.*s", (int)(n < MAX_PART ? n : MAX_PART - 1), name + at);
  for (char *p = part; *p; p++) *p = (char)tolower((unsigned char)*p);
  if (has_name(&l->used, arena_strndup(l->arena, name, at + n))) return true; // behind a weight: "mlp.0.weight.lora"
  if (is_one_of(elsewhere, part)) return false;
  if (has_sibling(l, name, at, n)) return true;
  return is_open(l, level) && ((at && level->leaf) || is_one_of(in_the_way, part));
}

static bool name_is_inside(const Leftovers *l, const char *name) {
  const Level *level = find_level(l, "");
  bool item = false;
  size_t at = 0, n;
  for (;; at += n + 1) {
    n = strcspn(name + at, ".");
    const Level *next = name[at + n] ? find_level(l, arena_strndup(l->arena, name, at + n)) : NULL;
    if (!next) break;
    item = item || is_item(name + at, n);
    level = next;
  }
  return item || part_is_inside(l, level, name, at, n);
}

// What is added where the model only multiplies: "logit_bias" beside "logit_scale".
static bool is_bias_of_used(const Leftovers *l, const char *name) {
  static const char *const factor[] = {"scale", "weight"};
  size_t n = strlen(name);
  if (n < 4 || strcmp(name + n - 4, "bias") != 0) return false;
  for (size_t i = 0; i < sizeof factor / sizeof *factor; i++)
    if (has_name(&l->used, arena_printf(l->arena, "%.*s%s", (int)(n - 4), name, factor[i]))) return true;
  return false;
}

static bool has_adapter(const Leftovers *l, const char *name) {
  for (size_t n; *name; name += n + (name[n] != 0)) {
    n = strcspn(name, ".");
    if (is_one_of(adapters, arena_strndup(l->arena, name, n))) return true;
  }
  return false;
}

/* what is left over ---------------------------------------------------------------------------------------------------
 */
// One value up to the diagonal of the last two axes, and another one above it?
static bool is_causal_mask(const StTensor *t) {
  size_t n = t->rank >= 2 ? (size_t)t->shape[t->rank - 1] : 0;
  if (n < 2 || t->shape[t->rank - 2] != t->shape[t->rank - 1] || (size_t)st_elements(t) / n != n) return false;
  float below, above, x;
  if (!st_to_f32(t, &below, 0, 1) || !st_to_f32(t, &above, 1, 1) || !memcmp(&below, &above, sizeof x)) return false;
  for (size_t i = 0; i < n * n; i++) {
    if (!st_to_f32(t, &x, i, 1)) return false;
    if (memcmp(&x, i % n <= i / n ? &below : &above, sizeof x) != 0) return false;
  }
  return true;
}

// Of element types that cannot be read here only the whole numbers (U16, ..) are no real ones.
static bool is_whole(const StTensor *t) {
  const char *name = t->foreign;
  return name ? (name[0] == 'U' || name[0] == 'I') && isdigit((unsigned char)name[1])
              : !st_dtype_is_float(st_value_type(t));
}

static bool is_buffer(const StTensor *t) {
  return is_whole(t) || !st_elements(t) || is_one_of(buffers, t->name) || (!t->foreign && is_causal_mask(t));
}

// What PyTorch's batch norm counts while it is trained; nobody misses it.
static bool is_counter(const StTensor *t) {
  return !st_dtype_is_float(st_value_type(t)) && st_elements(t) == 1 && text_matches("*.num_batches_tracked", t->name);
}

bool checkpoint_ignores(const Session *s, const StTensor *t, const char *name) {
  for (size_t i = 0; i < s->opt.ignore.n; i++)
    if (text_matches(s->opt.ignore.at[i], t->name) || text_matches(s->opt.ignore.at[i], name)) return true;
  return false;
}

// All names by which a weight of the page may stand in a file.
static void add_known(Leftovers *l, const WeightNames *w) {
  for (size_t i = 0; i < w->list.n; i++) {
    const char *ours = arena_strdup(l->arena, w->list.at[i].name);
    VEC_PUSH(l->arena, l->known, ours);
    for (size_t k = 0; k < l->module->rename.n; k++) {
      const Rename *rule = &l->module->rename.at[k];
      RenameMatch m = {0};
      if (!rename_match(rule->ours, ours, &m)) continue;
      for (size_t j = 0; j < rule->n; j++) VEC_PUSH(l->arena, l->known, rename_apply(l->arena, rule->theirs[j], &m));
    }
  }
}

static void add_route(void *ud, const Module *m) {
  Leftovers *l = ud;
  WeightNames w = weight_names_of_module(m, l->arena);
  add_known(l, &w);
}

// Does it stand for a weight? A name without a prefix that is added keeps its meaning.
static bool is_asked_for(const Leftovers *l, const WeightNames *want, const StTensor *t, const char *name) {
  return checkpoint_used(l->c, t) || weight_names_has(want, name) || weight_names_has(want, t->name);
}

static bool is_candidate(const Leftovers *l, const StTensor *t, const char *name) {
  return !is_counter(t) && !checkpoint_ignores(l->s, t, name) &&
         checkpoint_find(l->c, name) == t; // no later file has it
}

typedef VEC(const StTensor *) Tensors;

// Tensors that no weight of the program stands for; the names of the others become `used`.
static Tensors divide(Leftovers *l, const WeightNames *want) {
  Tensors left = {0};
  for (size_t i = 0; i + l->c->nmade < l->c->n; i++)
    for (size_t k = 0; k < st_count(l->c->file[i]); k++) {
      const StTensor *t = st_at(l->c->file[i], k);
      const char *name = checkpoint_name(l->c, t);
      if (is_asked_for(l, want, t, name))
        VEC_PUSH(l->arena, l->used, name);
      else if (is_candidate(l, t, name))
        VEC_PUSH(l->arena, left, t);
    }
  sort_names(&l->used);
  return left;
}

static bool same_type(const StTensor *a, const StTensor *b) {
  return st_value_type(a) == st_value_type(b) && a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof a->shape);
}

// A table in its place that the model takes from elsewhere, as the scores of BERT's words do:
// "predictions.decoder.weight" is the table of words, unless the file has another one there.
static bool is_untied(const Leftovers *l, const StTensor *t, const char *name) {
  const char *end = strstr(name, ".decoder.");
  const Level *level = end ? find_level(l, arena_strndup(l->arena, name, (size_t)(end - name))) : NULL;
  bool seen = false, copy = false;
  if (!level || !level->leaf || strchr(end + 9, '.') || t->foreign) return false;
  for (size_t i = 0; i < l->used.n && !copy; i++) {
    const StTensor *u = checkpoint_find(l->c, l->used.at[i]);
    if (!u || !same_type(u, t)) continue;
    seen = true;
    copy = u->bytes == t->bytes && !memcmp(u->data, t->data, t->bytes);
  }
  return seen && !copy;
}

static bool is_inside(const Leftovers *l, const StTensor *t) {
  const char *name = checkpoint_name(l->c, t);
  bool outside = l->c->strip && strncmp(t->name, l->c->strip, strlen(l->c->strip)) != 0;
  if (is_buffer(t) || has_name(&l->known, name) || has_name(&l->known, t->name)) return false;
  if (has_adapter(l, name)) return true;
  return !outside && (name_is_inside(l, name) || is_bias_of_used(l, name) || is_untied(l, t, name));
}

static void print_tensors(Buf *b, const Session *s, const Tensors *t, size_t most, const char *what) {
  size_t shown = s->opt.verbose ? SIZE_MAX : most;
  for (size_t i = 0; i < t->n && i < shown; i++) {
    buf_printf(b, "\n  %-12s %s ", what, t->at[i]->name);
    weight_print_shape(b, t->at[i]);
  }
  if (t->n > shown) buf_printf(b, "\n  ... and %zu more (--verbose lists all)", t->n - shown);
}

static void refuse_inside(Session *s, const Tensors *inside) {
  Buf b = {0};
  print_tensors(&b, s, inside, SHOWN_INSIDE, "left over");
  bool one = inside->n == 1;
  session_fail(
      s, EXIT_WRONG,
      "%zu tensor%s of the checkpoint lie%s in modules of the model, which has no weight for %s: without %s the "
      "results are not those of the checkpoint. Take a page or preset of that network (-D depth=N for more "
      "layers), merge adapters into the weights, or leave tensors out with --ignore PATTERN (--ignore '%s')%s",
      inside->n, one ? "" : "s", one ? "s" : "", one ? "it" : "them", one ? "it" : "them", inside->at[0]->name, b.s);
  buf_free(&b);
}

static void note_unused(Session *s, const Tensors *left) {
  Buf b = {0};
  print_tensors(&b, s, left, SHOWN_UNUSED, "unused");
  if (left->n)
    session_note(s, "syc: note: %zu tensor%s of the checkpoint %s not used by the routes compiled%s", left->n,
                 left->n == 1 ? "" : "s", left->n == 1 ? "is" : "are", b.s);
  buf_free(&b);
}

bool checkpoint_leftovers(Session *s, const Checkpoint *c, const Module *m, const WeightNames *want) {
  Arena a = {0};
  Leftovers l = {.s = s, .arena = &a, .c = c, .module = m};
  Tensors left = divide(&l, want), inside = {0};
  add_levels(&l);
  add_known(&l, want);
  if (left.n) session_each_route(s, m->name, add_route, &l);
  sort_names(&l.known);
  for (size_t i = 0; i < left.n; i++)
    if (is_inside(&l, left.at[i])) VEC_PUSH(&a, inside, left.at[i]);
  if (inside.n)
    refuse_inside(s, &inside);
  else
    note_unused(s, &left);
  arena_free(&a);
  return !inside.n;
}
