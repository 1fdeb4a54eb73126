// train_plan.c: groups of weights with one learning rate and decay.
#include "train.h"

#include <string.h>

enum { MOST_GROUPS = 256 };

static int group_with(TrainPlan *p, StageShare share) {
  for (size_t i = 0; i < p->group.n; i++)
    if (p->group.at[i].share.lr == share.lr && p->group.at[i].share.decay == share.decay) return (int)i;
  return -1;
}

bool train_groups(Session *s, const Stage *stage, const Trainer *t, TrainPlan *p) {
  p->group_of = ARENA_ARRAY(&s->arena, unsigned char, t->training.tensor.n + 1);
  for (size_t i = 0; i < t->training.tensor.n; i++) {
    const TrainingTensor *x = &t->training.tensor.at[i];
    uint64_t n = (uint64_t)type_elements(t->program->module, &x->type);
    if (!x->trained) {
      p->frozen += x->weight != NULL;
      p->frozen_elements += x->weight ? n : 0;
      continue;
    }
    StageShare share = stage_group(stage, x->name, x->type.rank);
    int g = group_with(p, share);
    if (g < 0) {
      g = (int)p->group.n;
      if (g == MOST_GROUPS)
        return session_fail(s, EXIT_WRONG, "stage %s has more than %d different learning rates and decays", stage->name,
                            MOST_GROUPS),
               false;
      VEC_PUSH(&s->arena, p->group, ((TrainGroup){.share = share}));
    }
    p->group.at[g].tensors++;
    p->group.at[g].elements += n;
    p->group_of[p->trained++] = (unsigned char)g;
    p->trained_elements += n;
  }
  return true;
}

void train_hypers(const Stage *stage, const TrainPlan *p, uint64_t step, sy_hyper *h) {
  double rate = stage_rate(stage, step, p->per_epoch);
  for (size_t i = 0; i < p->group.n; i++)
    h[i] = (sy_hyper){.lr = rate * p->group.at[i].share.lr,
                      .beta1 = stage->hyper.beta1,
                      .beta2 = stage->hyper.beta2,
                      .eps = stage->hyper.eps,
                      .decay = p->group.at[i].share.decay};
}
