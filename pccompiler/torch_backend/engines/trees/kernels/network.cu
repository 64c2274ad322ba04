// Weights from embeddings through the hypernetwork, and back. Sectors are loaded before the
// network, and the next ones during summation: a block has little else to do while it waits.
struct Sector {
  Slot slot;
  float e[E];

  __device__ __forceinline__ Sector(const int* __restrict__ slots, int number, int i,
                                    const float* __restrict__ embedding)
      : slot(read_slot(slots, number, min(i, number - 1))) {
#pragma unroll
    for (int j = 0; j < E; ++j) e[j] = embedding[(long)slot.row * E + j];
  }
  __device__ __forceinline__ void keep(float* to) const {
#pragma unroll
    for (int j = 0; j < E; ++j) to[j * STRIDE] = e[j];
  }
};

template <int R, int C>
__device__ void make(int block, const float* const* p, const float* __restrict__ embedding,
                     const int* __restrict__ slots, int number, const float* w3, const float* c3,
                     float* __restrict__ weights, long lanes) {
  extern __shared__ __align__(16) float shared[];
  const int i = block * TILE + threadIdx.x;
  const Sector sector(slots, number, i, embedding);
  Net<R * C> net(shared);
  net.fill(p, w3, c3, false);
  if (i >= number) return;
  float *e = net.n1 + threadIdx.x, *h1 = e + E * STRIDE, *h2 = h1 + H1 * STRIDE;
  sector.keep(e);
  float z[PAD(R * C)];
  net.run(e, h1, h2, z);
  softmax<R, C>(z);
  write_weights<R, C>(z, sector.slot, weights, lanes);
}

template <int R, int C>
__device__ void back(int block, int blocks, const float* const* p,
                     const float* __restrict__ embedding, const int* __restrict__ slots,
                     int number, const float* w3, const float* c3, const float* __restrict__ found,
                     const long* __restrict__ places, float* __restrict__ out,
                     float* __restrict__ partial) {
  extern __shared__ __align__(16) float shared[];
  constexpr int OUT = R * C;
  const int own = threadIdx.x;
  Sector sector(slots, number, block * TILE + own, embedding);
  float d[OUT];
  weight_gradients<OUT>(sector.slot, found, places, d);
  Net<OUT> net(shared);
  net.fill(p, w3, c3, true);
  float *e = net.end, *h1 = e + E * STRIDE, *h2 = h1 + H1 * STRIDE, *dz = h2 + H2 * STRIDE;
  float *dh2 = dz + OUT * STRIDE, *dh1 = dh2 + H2 * STRIDE, *ones = dh1 + H1 * STRIDE;
  ones[own] = 1.f;
  Share<E, H1> first;
  Share<H1, H2> second;
  Share<H2, OUT> third;
  for (int tile = block; tile * TILE < number; tile += blocks) {
    const bool valid = tile * TILE + own < number;
    float z[PAD(OUT)], d2[PAD(H2)], d1[PAD(H1)], de[PAD(E)];
    sector.keep(e + own);
    net.run(e + own, h1 + own, h2 + own, z);
    softmax<R, C>(z);
    through_softmax<R, C>(z, d);
#pragma unroll
    for (int j = 0; j < OUT; ++j) dz[j * STRIDE + own] = valid ? d[j] : 0.f;
    linear<OUT, H2>(net.n3, nullptr, dz + own, d2);
#pragma unroll
    for (int j = 0; j < H2; ++j)
      dh2[j * STRIDE + own] = h2[j * STRIDE + own] > 0.f ? d2[j] : 0.f;
    linear<H2, H1>(net.n2, nullptr, dh2 + own, d1);
#pragma unroll
    for (int j = 0; j < H1; ++j)
      dh1[j * STRIDE + own] = h1[j * STRIDE + own] > 0.f ? d1[j] : 0.f;
    linear<H1, E>(net.n1, nullptr, dh1 + own, de);
    if (valid)
#pragma unroll
      for (int j = 0; j < E; ++j) out[(long)sector.slot.row * E + j] = de[j];
    if ((tile + blocks) * TILE < number) {
      sector = Sector(slots, number, (tile + blocks) * TILE + own, embedding);
      weight_gradients<OUT>(sector.slot, found, places, d);
    }
    __syncthreads();
    third.add(dz, h2, ones);
    second.add(dh2, h1, ones);
    first.add(dh1, e, ones);
    __syncthreads();
  }
  float* to = partial + (long)blockIdx.x * PARTIAL;
  first.keep(to);
  second.keep(to + FIRST);
  third.keep(to + FIRST + SECOND);
}

#define ARGUMENTS(i) const int* slots##i, int number##i, const float* weight##i, const float* bias##i
#define NET const float *w1, const float *c1, const float *w2, const float *c2

#if !BACK  // compiled apart, since an evaluation needs this alone
extern "C" __global__ void __launch_bounds__(TILE) generate(
    float* weights, long lanes, const float* embedding, NET, ARGUMENTS(0), ARGUMENTS(1),
    ARGUMENTS(2)) {
  int block = blockIdx.x;
  const float* const net[4] = {w1, c1, w2, c2};
#define HEAD(i, R, C)                                                                          \
  if (block < (number##i + TILE - 1) / TILE)                                                   \
    return make<R, C>(block, net, embedding, slots##i, number##i, weight##i, bias##i, weights, \
                      lanes);                                                                  \
  block -= (number##i + TILE - 1) / TILE;
  HEADS
#undef HEAD
}

#else
extern "C" __global__ void __launch_bounds__(TILE, 3) generate_back(
    const float* found, const long* places, const float* embedding, NET, ARGUMENTS(0),
    ARGUMENTS(1), ARGUMENTS(2), int blocks0, int blocks1, int blocks2, float* out,
    float* partial) {
  int block = blockIdx.x;
  const float* const net[4] = {w1, c1, w2, c2};
#define HEAD(i, R, C)                                                                           \
  if (block < blocks##i)                                                                        \
    return back<R, C>(block, blocks##i, net, embedding, slots##i, number##i, weight##i, bias##i, \
                      found, places, out, partial);                                       \
  block -= blocks##i;
  HEADS
#undef HEAD
}

// Sums over blocks: the gradients of the two hidden layers over all, each head's over its own.
extern "C" __global__ void add_partial(const float* __restrict__ partial, float* __restrict__ out,
                                       int blocks0, int blocks1, int blocks2) {
  __shared__ float sums[8][33];
  int first = 0, last = blocks0 + blocks1 + blocks2, at = blockIdx.x * 32 + threadIdx.x;
  const int entry = at;
  if (at >= FIRST + SECOND) {
    int number = 0, seen = FIRST + SECOND, before = 0;
    bool found = false;
#define HEAD(i, R, C)                                    \
  if (!found) {                                          \
    number = (R) * (C) * (H2 + 1);                       \
    if (entry < seen + number) {                         \
      found = true;                                      \
      at = FIRST + SECOND + entry - seen;                \
      first = before;                                    \
      last = before + blocks##i;                         \
    }                                                    \
    seen += number;                                      \
    before += blocks##i;                                 \
  }
    HEADS
#undef HEAD
    if (!found) last = first;
  }
  float total = 0.f;
  for (int block = first + threadIdx.y; block < last; block += 8)
    total += partial[(long)block * PARTIAL + at];
  sums[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y == 0 && entry < ENTRIES_OUT) {
    total = 0.f;
#pragma unroll
    for (int i = 0; i < 8; ++i) total += sums[i][threadIdx.x];
    out[entry] = total;
  }
}
#endif
