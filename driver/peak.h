// peak.h: what the machine could do at most: independent chains of fused multiply-adds in registers, on every thread at
// once. For `syc bench` and for bench/fma_peak.c, which measures it beside other programs.
#ifndef SY_PEAK_H
#define SY_PEAK_H

// GFLOP/s of f32 with an instruction set of runtime/cpu.def that runs here, on `threads` threads; the best of the
// widths that its registers may have. 0: there are no figures for the set, or the threads could not be started.
double peak_gflops(const char *isa, unsigned threads);

#endif
