"""Sentences with PyTorch: greedy, with a cache of keys and values, one step a word; the same rule as ort_words.c.

A module of generation has start(image, text) -> scores, kept, past and step(word, at, kept, past) -> scores, past: kept
and past are lists of tensors; past grows along its axis 2 by a word each step.
"""
import time

import torch
from torch import nn

import sampling


def best_word(scores, end):
    """The end of a sentence is never chosen, so that every run takes the same steps."""
    scores = scores.clone()
    scores[:, end] = float("-inf")
    return scores.argmax(dim=-1, keepdim=True)


def sentence(model, sample, words, end):
    """ids [B, prompt + words], the last scores, milliseconds until the first scores, milliseconds a further word."""
    begin = time.perf_counter()
    scores, kept, past = model.start(*sample)
    first = time.perf_counter()
    ids = torch.cat([sample[-1], best_word(scores, end)], dim=1)
    for _ in range(words - 1):
        at = torch.tensor([ids.shape[1] - 1])
        scores, past = model.step(ids[:, -1:], at, kept, past)
        ids = torch.cat([ids, best_word(scores, end)], dim=1)
    return ids, scores, (first - begin) * 1e3, (time.perf_counter() - first) * 1e3 / (words - 1)


def timed(model, sample, words, end, seconds):
    """The figures that torch_peer.py prints, and the outputs of the last run."""
    last, starts = [None], []

    def once():
        ids, scores, start, word = sentence(model, sample, words, end)
        last[0] = scores, ids
        starts.append(start)
        return word

    once()
    times = sampling.times(once, seconds)
    starts.sort()
    median = times[len(times) // 2]
    return {"min_ms": times[0], "median_ms": median, "runs": len(times), "words_per_s": 1e3 / median,
            "start_ms": starts[len(starts) // 2], "form": "eager"}, last[0]


class Start(nn.Module):
    """For the export: tensors only, in the order scores, kept, past."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *sample):
        scores, kept, past = self.model.start(*sample)
        return (scores, *kept, *past)


class Step(nn.Module):
    def __init__(self, model, kept):
        super().__init__()
        self.model, self.kept = model, kept

    def forward(self, word, at, *state):
        scores, past = self.model.step(word, at, state[:self.kept], state[self.kept:])
        return (scores, *past)


def export(model, sample, names, start_path, step_path, options):
    with torch.no_grad():
        scores, kept, past = model.start(*sample)
        kept_names, past_names, next_names = ([f"{kind}_{i}" for i in range(len(list_))]
                                              for kind, list_ in (("kept", kept), ("past", past), ("next", past)))
        torch.onnx.export(Start(model), sample, start_path, input_names=names, output_names=["scores"] + kept_names + past_names, **options)
        example = (torch.ones(1, 1, dtype=torch.long), torch.tensor([sample[-1].shape[1]]), *kept, *past)
        torch.onnx.export(Step(model, len(kept)), example, step_path, input_names=["word", "at"] + kept_names + past_names,
                          output_names=["scores"] + next_names,
                          dynamic_axes={name: {2: length} for list_, length in ((past_names, "words"), (next_names, "words_1")) for name in list_},
                          **options)
