// A slot is the place of a sector: its row of the embeddings (or logits), and the component and
// lane of its first weight. weights: [component][lanes].
struct Slot { int row, component, lane; };

__device__ __forceinline__ Slot read_slot(const int* __restrict__ slots, int number, int i) {
  return {slots[i], slots[number + i], slots[2 * number + i]};
}

#define SCALE(C) (1.0f / (1.0f + (C) * FLOOR))

// From logits to (softmax + floor) / (1 + C floor); soft keeps the softmax.
template <int R, int C>
__device__ __forceinline__ void softmax(float z[R * C]) {
#pragma unroll
  for (int u = 0; u < R; ++u) {
    float top = z[u * C];
#pragma unroll
    for (int j = 1; j < C; ++j) top = fmaxf(top, z[u * C + j]);
    float total = 0.f;
#pragma unroll
    for (int j = 0; j < C; ++j) total += z[u * C + j] = expf(z[u * C + j] - top);
    float scale = 1.0f / total;
#pragma unroll
    for (int j = 0; j < C; ++j) z[u * C + j] *= scale;
  }
}

template <int R, int C>
__device__ __forceinline__ void write_weights(const float soft[R * C], const Slot& slot,
                                              float* __restrict__ weights, long lanes) {
  float* to = weights + slot.component * lanes + slot.lane;
#pragma unroll
  for (int c = 0; c < R * C; ++c) to[c * lanes] = (soft[c] + FLOOR) * SCALE(C);
}

// Gradients of weights, summed over the parts of the batch. places: for each warp the parts, the
// lanes of its stage, and the start of its stage less its first lane.
template <int OUT>
__device__ __forceinline__ void weight_gradients(const Slot& slot, const float* __restrict__ found,
                                                 const long* __restrict__ places, float d[OUT]) {
  const long* place = places + slot.lane / 32 * 3;
  const long number = place[0], lanes = place[1];
  const float* from = found + place[2] + slot.component * lanes + slot.lane;
#pragma unroll
  for (int c = 0; c < OUT; ++c) d[c] = 0.f;
#pragma unroll 2
  for (int part = 0; part < number; ++part) {
#pragma unroll
    for (int c = 0; c < OUT; ++c) d[c] += from[c * lanes];
    from += COMPONENTS * lanes;
  }
}

// From gradients of weights to gradients of logits.
template <int R, int C>
__device__ __forceinline__ void through_softmax(const float soft[R * C], float d[R * C]) {
#pragma unroll
  for (int u = 0; u < R; ++u) {
    float mean = 0.f;
#pragma unroll
    for (int j = 0; j < C; ++j) mean = fmaf(soft[u * C + j], d[u * C + j], mean);
#pragma unroll
    for (int j = 0; j < C; ++j) d[u * C + j] = SCALE(C) * soft[u * C + j] * (d[u * C + j] - mean);
  }
}
