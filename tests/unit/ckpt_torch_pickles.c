// ckpt_torch_pickles.c: pickles that are no dictionaries of tensors, or that want to be more than that: objects of
// unknown code, names that an attack needs, opcodes that call, cycles, strange names, tensors outside their storage.
#include "ckpt/pickle_names.h"
#include "torch_support.h"

// A pickled module is an object of unknown code whose attributes hold its tensors; a TorchScript program is written the
// same way, without the levels _modules, _parameters and _buffers.
Test(torch, modules_are_the_dictionaries_of_their_attributes) {
  static const char *const level[2][2] = {{"_modules", "_parameters"}, {NULL, NULL}};
  for (int i = 0; i < 2; i++) {
    Bytes p = {0}, keep;
    StError err;
    proto(&p);
    global(&p, "__torch__.net", "Net");
    put_text(&p, ")\x81}");
    if (level[i][0]) text(&p, level[i][0]), put_text(&p, "}");
    text(&p, "layer");
    global(&p, "__torch__.net", "Layer");
    put_text(&p, ")\x81}");
    if (level[i][1]) text(&p, level[i][1]), put_text(&p, "}");
    text(&p, "w");
    tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
    put_text(&p, level[i][1] ? "ssb" : "sb"); // w in the layer's dictionary, which builds the layer
    put_text(&p, level[i][0] ? "ssb." : "sb.");
    StFile *f = open_pickle(p, &keep, &err);
    cr_assert_not_null(f, "%s", err.text);
    cr_assert_eq(st_count(f), 1);
    cr_expect_str_eq(st_at(f, 0)->name, "layer.w");
    st_close(f);
    free(keep.p);
  }
}

// What TorchScript and C++ write around typed lists and dictionaries: {"w": tensor, "sizes": FUNCTION([1])} and
// restore_type_tag({"w": tensor}, "Dict[str, Tensor]").
Test(torch, typed_lists_of_torchscript_are_lists) {
  static const char *const name[] = {"build_intlist", "build_doublelist",     "build_boollist",  "build_tensorlist",
                                     "build_class",   "build_tensor_from_id", "restore_type_tag"};
  for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
    Bytes p = {0}, keep;
    StError err;
    proto(&p);
    global(&p, "__torch__.net", "Net");
    put_text(&p, ")\x81}(");
    text(&p, "w");
    tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
    text(&p, "sizes");
    global(&p, "torch.jit._pickle", name[i]);
    put_text(&p, "(](K\1e");
    text(&p, "List[int]");
    put_text(&p, "tRub.");
    StFile *f = open_pickle(p, &keep, &err);
    cr_assert_not_null(f, "%s: %s", name[i], err.text);
    cr_expect_not_null(st_find(f, "w"));
    st_close(f);
    free(keep.p);
  }
  Bytes p = {0}, keep;
  StError err;
  proto(&p);
  global(&p, "torch.jit._pickle", "restore_type_tag");
  put_text(&p, "(}");
  text(&p, "w");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
  put_text(&p, "s");
  text(&p, "Dict[str, Tensor]");
  put_text(&p, "tR.");
  StFile *f = open_pickle(p, &keep, &err);
  cr_assert_not_null(f, "%s", err.text);
  cr_expect(st_count(f) == 1 && st_find(f, "w"));
  st_close(f);
  free(keep.p);
  static const char *const loads[][2] = {
      {"torch.jit", "load"}, {"torch.jit._pickle", "sys"}, {"torch.jit._pickle", "x"}};
  for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
    Bytes q = {0};
    proto(&q);
    global(&q, loads[i][0], loads[i][1]);
    put_text(&q, ")R.");
    refused(q, "hostile");
  }
}

// Tensors of other kinds are listed; they were dropped as if they were numbers.
Test(torch, other_kinds_of_tensors_are_listed) {
  static const char *const name[] = {"_rebuild_qtensor", "_rebuild_sparse_tensor", "_rebuild_nested_tensor"};
  for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
    Bytes p = {0}, keep;
    StError err;
    proto(&p);
    put_text(&p, "}(");
    text(&p, "w");
    tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
    text(&p, "q");
    global(&p, "torch._utils", name[i]);
    put_text(&p, ")Ru.");
    StFile *f = open_pickle(p, &keep, &err);
    cr_assert(f, "%s", err.text);
    cr_expect(st_find(f, "q") && st_find(f, "q")->foreign);
    st_close(f);
    free(keep.p);
  }
}

// What names cost is in proportion to the pickle, whatever they are and however often they are asked for.
Test(torch, names_cost_no_more_than_the_file_is_worth) {
  StPool pool = {.limit = 1 << 26};
  char dots[512];
  for (size_t i = 0; i < sizeof dots; i++) dots[i] = i % 2 ? '.' : 'a';
  for (int distinct = 0; distinct < 2; distinct++) {
    PkNames t = pk_names(&pool, 10000);
    const char *why = NULL;
    size_t found = 0;
    uint64_t before = 0;
    while (found < 200000) {
      char module[32];
      int n = snprintf(module, sizeof module, "m%zu", distinct ? found : 0);
      if (!pk_name_find(&t, (PkText){module, (size_t)n}, (PkText){dots, 511}, &why)) break;
      cr_expect(t.work > before && t.work <= t.limit);
      before = t.work;
      found++;
    }
    cr_expect(found < (distinct ? 20 : 10000), "%zu names", found);
    cr_expect(why && strstr(why, "too often"));
  }
  st_pool_free(&pool);
}

// {"state_dict": {"w": tensor}, KEY: {"w": tensor}, KEY: ...}: the key is long and the same value each time.
Test(torch, a_key_is_looked_at_once) {
  enum { LONG = 1 << 20, TIMES = 100000 };
  char *key = malloc(LONG + 1);
  cr_assert(key);
  memset(key, 'a', LONG);
  key[LONG] = 0;
  Bytes p = {0}, keep;
  StError err;
  proto(&p);
  put_text(&p, "}(");
  text(&p, "state_dict");
  put_text(&p, "}q\1");
  text(&p, "w");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
  put_text(&p, "s");
  text(&p, key);
  put_text(&p, "q\2h\1");
  for (int i = 1; i < TIMES; i++) put_text(&p, "h\2h\1");
  put_text(&p, "u.");
  StFile *f = open_pickle(p, &keep, &err);
  cr_assert_not_null(f, "%s", err.text);
  cr_expect_eq(st_count(f), 1);
  st_close(f);
  free(keep.p);
  free(key);
}

Test(torch, a_pickle_is_not_much_longer_than_the_file) {
  size_t n = 4 << 20;
  uint8_t *nulls = malloc(n);
  cr_assert(nulls);
  memset(nulls, 'N', n); // values that nobody asks for
  Entry e[] = {{"m/data.pkl", nulls, n, true}, {"m/data/0", six, sizeof six, false}};
  Bytes b = archive(2, e, false);
  file_refused(b, "64 times the file");
  free(b.p);
  free(nulls);
}

// Views that show their storage again and again: copying may not feed on what was copied before.
Test(torch, views_do_not_double) {
  Bytes p = {0};
  proto(&p);
  put_text(&p, "}(");
  for (int i = 0; i < 12; i++) {
    char name[8];
    snprintf(name, sizeof name, "w%d", i);
    text(&p, name);
    tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {(int64_t)50000 << i}, {0}});
  }
  put_text(&p, "u.");
  refused(p, "too large a copy");
}

Test(torch, refuses_names_that_an_attack_needs) {
  static const char *const name[][2] = {
      {"os", "system"},
      {"posix", "system"},
      {"nt", "system"},
      {"subprocess", "Popen"},
      {"builtins", "eval"},
      {"builtins", "exec"},
      {"builtins", "getattr"},
      {"builtins", "__import__"},
      {"builtins", "open"},
      {"__builtin__", "eval"},
      {"sys", "exit"},
      {"socket", "socket"},
      {"runpy", "run_path"},
      {"shutil", "rmtree"},
      {"importlib", "import_module"},
      {"pickle", "loads"},
      {"webbrowser", "open"},
      {"os.path", "join"},
      {"torch.storage", "_load_from_bytes"},
      {"torch.hub", "load"},
      {"operator", "attrgetter"},
      {"ctypes", "CDLL"},
      {"torch", "serialization.os.system"},
      {"x", "y.os.system"},
      {"builtins", "eval.__call__"},
  };
  for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
    char want[160];
    snprintf(want, sizeof want, "offset 2: it asks for %s.%s.", name[i][0], name[i][1]);
    Bytes p = {0};
    proto(&p);
    global(&p, name[i][0], name[i][1]);
    put_text(&p, "(X\2\0\0\0lstR.");
    refused(p, want);
  }
}

Test(torch, no_opcode_calls_what_is_hostile) {
  static const struct {
    const char *before, *after; // around the global os.system
  } call[] = {{"", "(tR"}, {"", ")\x81"}, {"", ")}\x92"}, {"(", "o"}, {"", ")R}b"}, {"}", "Ns"}};
  for (size_t i = 0; i < sizeof call / sizeof *call; i++)
    for (int stacked = 0; stacked < 2; stacked++) {
      Bytes p = {0};
      proto(&p);
      put_text(&p, call[i].before);
      if (stacked) {
        text(&p, "os");
        text(&p, "system");
        put_text(&p, "\x93");
      } else {
        global(&p, "os", "system");
      }
      put_text(&p, call[i].after);
      put_text(&p, ".");
      refused(p, "hostile");
    }
  Bytes inst = {0};
  proto(&inst);
  put_text(&inst, "(X\2\0\0\0");
  inst.n = 3; // the text with zero bytes has to go in by hand
  text(&inst, "ls");
  put_text(&inst, "ios\nsystem\n.");
  refused(inst, "os.system");
  static const struct {
    const char *code;
    size_t n;
  } extension[] = {{"\x82\1", 2}, {"\x83\1\0", 3}, {"\x84\1\0\0\0", 5}};
  for (size_t i = 0; i < 3; i++) {
    Bytes p = {0};
    proto(&p);
    put(&p, extension[i].code, extension[i].n);
    put_text(&p, ")R.");
    refused(p, "extension registry");
  }
}

Test(torch, refuses_malformed_pickles) {
  static const struct {
    const char *code;
    size_t n;
    const char *message;
  } bad[] = {
#define CODE(s) s, sizeof s - 1
      {CODE("\x80\x06."), "protocol 6"},
      {CODE("."), "too few"},
      {CODE("("), "without a STOP"},
      {CODE("\xff"), "no opcode"},
      {CODE("X\xff\xff\xff\xff."), "cut short"},
      {CODE("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "cut short"},
      {CODE("\x96\xff\xff\xff\xff\xff\xff\xff\x7f."), "cut short"},
      {CODE("\x95\xff\xff\xff\xff\xff\xff\xff\xff."), "frame"},
      {CODE("cos"), "cut short"},
      {CODE("c\n\n."), "no Python module"},
      {CODE("t."), "no mark"},
      {CODE("N(0."), "holds no dictionary"},
      {CODE("NR."), "too few"},
      {CODE("NNR."), "no function"},
      {CODE("N(NR."), "too few"},
      {CODE("(o."), "without a function"},
      {CODE("ia\nb\n."), "no mark"},
      {CODE("(Nd."), "key without a value"},
      {CODE("}(Nu."), "key without a value"},
      {CODE("N(NNu."), "cannot hold"},
      {CODE("NNa."), "cannot hold"},
      {CODE("h\5."), "never stored"},
      {CODE("Nr\xff\xff\xff\xff."), "larger than the pickle"},
      {CODE("g12x\n."), "not a number"},
      {CODE("I1x\n."), "strange digit"},
      {CODE("Px\n."), "as text"},
      {CODE("NQ."), "not ('storage'"},
      {CODE("\x97."), "outside of the pickle"},
      {CODE("NN\x93."), "not text"},
      {CODE("ctorch._utils\n_rebuild_tensor_v2\n)R."), "not a storage"},
      {CODE("ctorch._utils\n_rebuild_tensor_v2\n(NK\0))tR."), "not a storage"},
      {CODE("ctorch._utils\n_rebuild_tensor_v2\nNR."), "not a tuple"},
      {CODE("ccollections\nOrderedDict\n(](NetR."), "not pairs"},
      {CODE("N."), "holds no dictionary"},
      {CODE("}."), "no tensors"},
      {CODE(""), "without a STOP"},
#undef CODE
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    Bytes p = {0};
    put(&p, bad[i].code, bad[i].n);
    refused(p, bad[i].message);
  }
}

Test(torch, refuses_tensors_outside_their_storage) {
  static const struct {
    View v;
    const char *message;
  } bad[] = {
      {{"FloatStorage", "0", 6, 1, 1, {6}, {1}}, "6 elements from 1 on, in a storage of 6"},
      {{"FloatStorage", "0", 6, -1, 1, {6}, {1}}, "elements from -1"},
      {{"FloatStorage", "0", 6, INT64_MAX, 1, {6}, {1}}, "elements"},
      {{"FloatStorage", "0", 6, 0, 2, {2, 3}, {4, 1}}, "7 elements from 0"},
      {{"FloatStorage", "0", 6, 0, 1, {-1}, {1}}, "negative"},
      {{"FloatStorage", "0", 6, 0, 1, {2}, {-1}}, "negative"},
      {{"FloatStorage", "0", 6, 0, 2, {INT64_MAX, 4}, {1, 1}}, "overflows"},
      {{"FloatStorage", "0", 6, 0, 2, {0, INT64_MAX}, {1, 1}}, "overflows"},
      {{"FloatStorage", "0", 6, 0, 2, {3, 3}, {INT64_MAX / 2, INT64_MAX / 2}}, "overflow"},
      {{"FloatStorage", "0", 7, 0, 1, {6}, {1}}, "only 24"},
      {{"FloatStorage", "0", INT64_MAX, 0, 1, {6}, {1}}, "impossible"},
      {{"DoubleStorage", "0", 4, 0, 1, {4}, {1}}, "only 24"},
      {{"FloatStorage", "1", 6, 0, 1, {6}, {1}}, "no entry 'm/data/1'"},
      {{"FloatStorage", "0", -1, 0, 1, {6}, {1}}, "not ('storage'"},
      {{"FloatStorage", "0", 6, 0, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}}, "dimensions"},
      {{"FloatStorage", "0", 6, 0, 2, {100000000, 6}, {0, 1}}, "too large a copy"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    Bytes p = {0};
    proto(&p);
    put_text(&p, "}");
    text(&p, "x");
    tensor(&p, &bad[i].v);
    put_text(&p, "s.");
    refused(p, bad[i].message);
  }
}

// Dictionaries of dictionaries, `levels` deep, each entered twice from the one above it.
static void doubled(Bytes *p, int levels) {
  put_text(p, "}q\1");
  for (int i = 0; i < levels; i++) { // memo 1 is the one below
    put_text(p, "}(");
    text(p, "a");
    put_text(p, "h\1");
    text(p, "b");
    put_text(p, "h\1uq\1");
  }
}

Test(torch, survives_cycles_nesting_and_doubling) {
  Bytes p = {0}, keep;
  StError err;
  proto(&p); // d = {"w": tensor}; d["self"] = d; d["l"] = l where l contains l
  put_text(&p, "}q\1(");
  text(&p, "w");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
  text(&p, "self");
  put_text(&p, "h\1");
  text(&p, "l");
  put_text(&p, "]q\2h\2au.");
  StFile *f = open_pickle(p, &keep, &err);
  cr_assert_not_null(f, "%s", err.text);
  cr_assert_eq(st_count(f), 1);
  st_close(f);
  free(keep.p);

  Bytes twice = {0};
  proto(&twice);
  doubled(&twice, 31);
  put_text(&twice, ".");
  refused(twice, "too often");

  static const char *const deep[] = {"(", "]", "}", "((", "N\x85"};
  for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
    Bytes many = {0};
    proto(&many);
    for (int k = 0; k < 200000; k++) put_text(&many, deep[i]);
    put_text(&many, ".");
    refused(many, i == 0 || i == 3 ? "too few" : i == 2 ? "no tensors" : "holds no dictionary");
  }
  Bytes nested = {0}; // {"a": {"a": ...}} deeper than is looked at
  proto(&nested);
  for (int k = 0; k < 10000; k++) {
    put_text(&nested, "}");
    text(&nested, "a");
  }
  put_text(&nested, "N");
  for (int k = 0; k < 10000; k++) put_text(&nested, "s");
  put_text(&nested, ".");
  refused(nested, "no tensors");
}

Test(torch, refuses_strange_names) {
  static const char *const name[] = {"\xff", "\xc0\x80", "\xed"};
  for (size_t i = 0; i < 3; i++) {
    Bytes p = {0};
    proto(&p);
    state(&p, name[i]);
    put_text(&p, ".");
    refused(p, "UTF-8");
  }
  char longname[1100];
  memset(longname, 'a', sizeof longname - 1);
  longname[sizeof longname - 1] = 0;
  Bytes p = {0};
  proto(&p);
  state(&p, longname);
  put_text(&p, ".");
  refused(p, "longer than");
  Bytes same = {0}; // "a.b" in two ways
  proto(&same);
  state(&same, "a.b");
  text(&same, "a");
  state(&same, "b");
  put_text(&same, "s.");
  refused(same, "duplicate");
}
