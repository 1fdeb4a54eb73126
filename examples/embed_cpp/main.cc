// main.cc: a compiled model from C++11 with a class around it and std::thread behind its parallel_for hook. The model's
// C file is compiled as C; only its header is C++.
//
//   c++ -std=c++11 -O2 -c main.cc && cc -std=c11 -O2 -ffp-contract=off -c vit.c && c++ main.o vit.o -lm -lpthread
#include "vit.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

// The simplest hook: a thread for each item. A real program hands the items to its own pool.
void spread(void *, std::size_t n, void (*task)(void *arg, std::size_t i), void *arg) {
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < n; i++) threads.emplace_back(task, arg, i);
  task(arg, 0);
  for (std::thread &t : threads) t.join();
}

struct Free {
  void operator()(void *p) const { std::free(p); }
};
typedef std::unique_ptr<void, Free> Memory;

Memory aligned(std::size_t bytes) {
  void *p = nullptr;
  if (posix_memalign(&p, VIT_ALIGN, bytes) != 0) throw std::bad_alloc();
  return Memory(p);
}

class Classifier {
public:
  Classifier(const char *weights_path, unsigned threads)
      : arena_(aligned(VIT_ARENA_BYTES(threads))), weights_(aligned(VIT_WEIGHTS_BYTES)), ctx_(nullptr) {
    std::ifstream file(weights_path, std::ios::binary);
    if (!file.read(static_cast<char *>(weights_.get()), static_cast<std::streamsize>(VIT_WEIGHTS_BYTES)))
      throw std::runtime_error("cannot read the weights");
    const vit_exec exec = {spread, nullptr, threads};
    const vit_config config = {
        VIT_ABI_VERSION, weights_.get(), VIT_WEIGHTS_BYTES, arena_.get(), VIT_ARENA_BYTES(threads), &exec, nullptr};
    check(vit_init(&ctx_, &config));
  }

  // pixels: batch x f32[3,224,224]; returns batch rows of logits.
  std::vector<float> run(const std::vector<float> &pixels, std::size_t batch) {
    if (pixels.size() != batch * (VIT_CLASSIFY_IMAGE_ELEMENTS / VIT_MAX_B)) throw std::invalid_argument("pixels");
    std::vector<float> logits(batch * (VIT_CLASSIFY_LOGITS_ELEMENTS / VIT_MAX_B));
    check(vit_classify(ctx_, batch, pixels.data(), logits.data()));
    return logits;
  }

private:
  static void check(vit_status s) {
    if (s != VIT_OK) throw std::runtime_error(vit_strerror(s));
  }
  Memory arena_, weights_;
  vit_ctx *ctx_; // inside the arena
};

} // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s WEIGHTS.syw\n", argv[0]);
    return 2;
  }
  try {
    Classifier vit(argv[1], std::thread::hardware_concurrency());
    const std::vector<float> grey(VIT_CLASSIFY_IMAGE_ELEMENTS / VIT_MAX_B, 0.0f);
    const std::vector<float> logits = vit.run(grey, 1);
    std::printf("%zu classes, first logit %g\n", logits.size(), static_cast<double>(logits[0]));
  } catch (const std::exception &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
