// A network with two hidden layers in shared memory, and sums of its gradients over sectors. Units
// of all threads' sectors are there too, [unit][STRIDE], one column per thread.
#define PAD(x) (((x) + 3) & ~3)
#define FIRST (H1 * (E + 1))   // gradients of the first layer
#define SECOND (H2 * (H1 + 1))
#define STRIDE (TILE + 4)

// y[OUT] = bias + T^T x. T: [IN][PAD(OUT)] and x: [IN][STRIDE] are in shared memory; x starts at the
// thread's own column. The loop stays rolled: a block runs it about once, so fetching unrolled
// instructions would take longer than running them.
template <int IN, int OUT>
__device__ __forceinline__ void linear(const float* __restrict__ t, const float* __restrict__ bias,
                                       const float* x, float* y) {
#pragma unroll
  for (int o = 0; o < PAD(OUT); ++o) y[o] = bias ? bias[o] : 0.f;
#pragma unroll 2
  for (int i = 0; i < IN; ++i) {
    const float xi = x[i * STRIDE];
#pragma unroll
    for (int o = 0; o < PAD(OUT); o += 4) {
      const float4 w = *(const float4*)(t + i * PAD(OUT) + o);
      y[o] = fmaf(w.x, xi, y[o]);
      y[o + 1] = fmaf(w.y, xi, y[o + 1]);
      y[o + 2] = fmaf(w.z, xi, y[o + 2]);
      y[o + 3] = fmaf(w.w, xi, y[o + 3]);
    }
  }
}

// A layer's weights [OUT][IN] and biases, to be stored in shared memory: transposed,
// [IN][PAD(OUT)], and unchanged, [OUT][PAD(IN)]. All layers are loaded before the first store.
template <int IN, int OUT>
struct Layer {
  static constexpr int NUMBER = (IN * OUT + TILE - 1) / TILE, BIASES = (OUT + TILE - 1) / TILE;
  float weight[NUMBER], bias[BIASES];

  __device__ __forceinline__ void load(const float* __restrict__ w, const float* __restrict__ c) {
#pragma unroll
    for (int k = 0; k < NUMBER; ++k) weight[k] = w[min(k * TILE + threadIdx.x, IN * OUT - 1u)];
#pragma unroll
    for (int k = 0; k < BIASES; ++k) bias[k] = c[min(k * TILE + threadIdx.x, OUT - 1u)];
  }
  __device__ __forceinline__ void store(float* transposed, float* biases, float* plain) const {
#pragma unroll
    for (int k = 0; k < NUMBER; ++k) {
      const int i = k * TILE + threadIdx.x, out = i / IN, in = i % IN;
      if (i >= IN * OUT) break;
      transposed[in * PAD(OUT) + out] = weight[k];
      if (plain) plain[out * PAD(IN) + in] = weight[k];
    }
#pragma unroll
    for (int k = 0; k < BIASES; ++k)
      if (k * TILE + threadIdx.x < OUT) biases[k * TILE + threadIdx.x] = bias[k];
  }
};

template <int OUT>
struct Net {  // in shared memory
  float *t1, *b1, *t2, *b2, *t3, *b3, *n1, *n2, *n3, *end;
  __device__ Net(float* at) {
    t1 = at; b1 = t1 + E * PAD(H1); t2 = b1 + PAD(H1); b2 = t2 + H1 * PAD(H2);
    t3 = b2 + PAD(H2); b3 = t3 + H2 * PAD(OUT); n1 = b3 + PAD(OUT);
    n2 = n1 + H1 * PAD(E); n3 = n2 + H2 * PAD(H1); end = n3 + OUT * PAD(H2);
  }
  __device__ void fill(const float* const* p, const float* w3, const float* c3, bool back) {
    Layer<E, H1> first;
    Layer<H1, H2> second;
    Layer<H2, OUT> third;
    first.load(p[0], p[1]);
    second.load(p[2], p[3]);
    third.load(w3, c3);
    float* last = back ? end : n1;
    for (float* at = t1 + threadIdx.x; at < last; at += TILE) *at = 0.f;  // for the padding
    __syncthreads();
    first.store(t1, b1, back ? n1 : nullptr);
    second.store(t2, b2, back ? n2 : nullptr);
    third.store(t3, b3, back ? n3 : nullptr);
    __syncthreads();
  }
  // Logits z from the embedding; it and the hidden units are in columns of the block's threads.
  __device__ __forceinline__ void run(float* e, float* h1, float* h2, float* z) const {
    float y1[PAD(H1)], y2[PAD(H2)];
    linear<E, H1>(t1, b1, e, y1);
#pragma unroll
    for (int i = 0; i < H1; ++i) h1[i * STRIDE] = fmaxf(y1[i], 0.f);
    linear<H1, H2>(t2, b2, h1, y2);
#pragma unroll
    for (int i = 0; i < H2; ++i) h2[i * STRIDE] = fmaxf(y2[i], 0.f);
    linear<H2, OUT>(t3, b3, h2, z);
  }
};

// A thread's share of the sums of y x^T and of y: HIGH x WIDE entries, strided, so that threads
// read neighbouring rows. The shape has the fewest reads among those for at most TILE threads.
template <int IN, int OUT>
struct Share {
  static constexpr int across(int high, int wide) {
    return ((OUT + high - 1) / high) * ((IN + wide) / wide);
  }
  static constexpr int choose() {
    int best = 0, cost = 1 << 30;
    for (int high = 1; high <= OUT; ++high)
      for (int wide = 1; wide <= IN + 1; ++wide)
        if (across(high, wide) <= TILE && (high + wide) * 100 + high * wide < cost) {
          cost = (high + wide) * 100 + high * wide;
          best = high * 1000 + wide;
        }
    return best;
  }
  static constexpr int HIGH = choose() / 1000, WIDE = choose() % 1000;
  static constexpr int DOWN = (OUT + HIGH - 1) / HIGH, ACROSS = (IN + WIDE) / WIDE;
  float sum[HIGH][WIDE];

  __device__ __forceinline__ Share() {
#pragma unroll
    for (int a = 0; a < HIGH; ++a)
#pragma unroll
      for (int b = 0; b < WIDE; ++b) sum[a][b] = 0.f;
  }
  // y: [OUT][STRIDE] and x: [IN][STRIDE], for all of the block's threads.
  __device__ __forceinline__ void add(const float* ys, const float* xs, const float* ones) {
    const int row = threadIdx.x / ACROSS, column = threadIdx.x % ACROSS;
    if (row >= DOWN) return;
    const float4 *l[HIGH], *r[WIDE];
#pragma unroll
    for (int a = 0; a < HIGH; ++a) l[a] = (const float4*)(ys + min(row + a * DOWN, OUT - 1) * STRIDE);
#pragma unroll
    for (int b = 0; b < WIDE; ++b) {
      const int i = column + b * ACROSS;
      r[b] = (const float4*)(i < IN ? xs + i * STRIDE : ones);
    }
#pragma unroll 2
    for (int q = 0; q < TILE / 4; ++q) {
      float4 left[HIGH], right[WIDE];
#pragma unroll
      for (int a = 0; a < HIGH; ++a) left[a] = l[a][q];
#pragma unroll
      for (int b = 0; b < WIDE; ++b) right[b] = r[b][q];
#pragma unroll
      for (int a = 0; a < HIGH; ++a)
#pragma unroll
        for (int b = 0; b < WIDE; ++b) {
          sum[a][b] = fmaf(left[a].x, right[b].x, sum[a][b]);
          sum[a][b] = fmaf(left[a].y, right[b].y, sum[a][b]);
          sum[a][b] = fmaf(left[a].z, right[b].z, sum[a][b]);
          sum[a][b] = fmaf(left[a].w, right[b].w, sum[a][b]);
        }
    }
  }
  // The matrix, then the biases.
  __device__ __forceinline__ void keep(float* to) const {
    const int row = threadIdx.x / ACROSS, column = threadIdx.x % ACROSS;
#pragma unroll
    for (int a = 0; a < HIGH; ++a)
#pragma unroll
      for (int b = 0; b < WIDE; ++b) {
        const int o = row + a * DOWN, i = column + b * ACROSS;
        if (row < DOWN && o < OUT && i <= IN) to[i < IN ? o * IN + i : OUT * IN + o] = sum[a][b];
      }
  }
};
