// Weights from their own logits, and back.
template <int R, int C>
__device__ __forceinline__ void read_logits(const float* __restrict__ logits, int row,
                                            float z[R * C]) {
#pragma unroll
  for (int c = 0; c < R * C; ++c) z[c] = logits[(long)row * R * C + c];
  softmax<R, C>(z);
}

template <int R, int C>
__device__ void make(int block, const int* __restrict__ slots, int number,
                     const float* __restrict__ logits, float* __restrict__ weights, long lanes) {
  const int i = block * blockDim.x + threadIdx.x;
  if (i >= number) return;
  const Slot slot = read_slot(slots, number, i);
  float z[R * C];
  read_logits<R, C>(logits, slot.row, z);
  write_weights<R, C>(z, slot, weights, lanes);
}

template <int R, int C>
__device__ void back(int block, const int* __restrict__ slots, int number,
                     const float* __restrict__ logits, const float* __restrict__ found,
                     const long* __restrict__ places, float* __restrict__ out) {
  const int i = block * blockDim.x + threadIdx.x;
  if (i >= number) return;
  const Slot slot = read_slot(slots, number, i);
  float z[R * C], d[R * C];
  weight_gradients<R * C>(slot, found, places, d);
  read_logits<R, C>(logits, slot.row, z);
  through_softmax<R, C>(z, d);
#pragma unroll
  for (int c = 0; c < R * C; ++c) out[(long)slot.row * R * C + c] = d[c];
}

#define ARGUMENTS(i) const int* slots##i, int number##i, const float* values##i, float* out##i

#if !BACK  // compiled apart, since an evaluation needs this alone
extern "C" __global__ void __launch_bounds__(TILE) generate(
    float* weights, long lanes, ARGUMENTS(0), ARGUMENTS(1), ARGUMENTS(2)) {
  int block = blockIdx.x;
#define HEAD(i, R, C)                                                     \
  if (block < (number##i + TILE - 1) / TILE)                              \
    return make<R, C>(block, slots##i, number##i, values##i, weights, lanes); \
  block -= (number##i + TILE - 1) / TILE;
  HEADS
#undef HEAD
}

#else
extern "C" __global__ void __launch_bounds__(TILE) generate_back(
    const float* found, const long* places, ARGUMENTS(0), ARGUMENTS(1), ARGUMENTS(2)) {
  int block = blockIdx.x;
#define HEAD(i, R, C)                                                                \
  if (block < (number##i + TILE - 1) / TILE)                                         \
    return back<R, C>(block, slots##i, number##i, values##i, found, places, out##i); \
  block -= (number##i + TILE - 1) / TILE;
  HEADS
#undef HEAD
}
#endif
