// Tables of leaf layers: entries by codes, and gradients state by state.
//
// Codes as in `lookup.codes_of`: the states, then one code for missing values and one for values
// that are not states. Tables: [row][unit][state]; values and gradients: [row][unit][batch].
#include <stdint.h>
#include <string.h>

// Codes of ``number`` values, NaN where missing.
void codes(const float *x, int64_t number, int64_t states, int64_t *out) {
  for (int64_t i = 0; i < number; ++i) {
    const float value = x[i];
    const int inside = value >= 0.f && value < states;
    const int64_t whole = inside ? (int64_t)value : 0;
    out[i] = inside && (float)whole == value ? whole : states + (value == value);
  }
}

static float total(const float *table, int64_t states) {
  float sum[16] = {0.f};
  for (int64_t c = 0; c < states; ++c) sum[c % 16] += table[c];
  for (int i = 1; i < 16; ++i) sum[0] += sum[i];
  return sum[0];
}

// Whether all codes are states.
static int known(const int64_t *code, int64_t batch, int64_t states) {
  int64_t most = 0;
  for (int64_t b = 0; b < batch; ++b) most = code[b] > most ? code[b] : most;
  return most < states;
}

// Entries of the tables.
void look_up(const float *tables, const int64_t *codes, int64_t rows, int64_t units, int64_t states,
             int64_t batch, int threads, float *out) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t *code = codes + r * batch;
    const int all = known(code, batch, states);
    for (int64_t u = 0; u < units; ++u) {
      const float *table = tables + (r * units + u) * states;
      float *value = out + (r * units + u) * batch;
      if (all) {
        for (int64_t b = 0; b < batch; ++b) value[b] = table[code[b]];
        continue;
      }
      const float missing[2] = {total(table, states), 0.f};
      for (int64_t b = 0; b < batch; ++b)
        value[b] = code[b] < states ? table[code[b]] : missing[code[b] - states];
    }
  }
}

// Gradients of tables, from those of their entries or, if log, of the logarithms of their entries.
void table_gradient(const float *tables, const int64_t *codes, const float *above, int64_t rows,
                    int64_t units, int64_t states, int64_t batch, int log, int threads, float *out) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t *code = codes + r * batch;
    const int all = known(code, batch, states), singly = log && batch < states;
    for (int64_t u = 0; u < units; ++u) {
      const float *table = tables + (r * units + u) * states, *grad = above + (r * units + u) * batch;
      float *sum = out + (r * units + u) * states, missing = 0.f;
      memset(sum, 0, states * sizeof(float));
      for (int64_t b = 0; b < batch; ++b) {
        const int64_t c = code[b];
        if (!all && c >= states) missing += c == states ? grad[b] : 0.f;
        else if (!singly) sum[c] += grad[b];
        else if (table[c] != 0.f) sum[c] += grad[b] / table[c];  // no flow passes through a zero
      }
      if (log && !singly)
        for (int64_t c = 0; c < states; ++c) sum[c] = table[c] == 0.f ? 0.f : sum[c] / table[c];
      if (missing == 0.f) continue;
      const float whole = log ? total(table, states) : 1.f, share = whole == 0.f ? 0.f : missing / whole;
      for (int64_t c = 0; c < states; ++c) sum[c] += share;
    }
  }
}
