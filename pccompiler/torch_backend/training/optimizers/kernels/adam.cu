struct Tensors {
  float* parameter[MOST];
  const float* gradient[MOST];
  float* first[MOST];
  float* second[MOST];
  int size[MOST];
};

// Adam (Kingma and Ba, 2015, algorithm 1); decay is added to the gradient. counts: steps so far and
// finished blocks of this step; the last block counts the step.
extern "C" __global__ void __launch_bounds__(THREADS) adam(Tensors tensors, int number, int* counts,
                                                           float rate, float decay) {
  constexpr int EACH = BLOCK / THREADS;
  int tensor = 0, block = blockIdx.x;
  while (tensor < number - 1 && block >= (tensors.size[tensor] + BLOCK - 1) / BLOCK) {
    block -= (tensors.size[tensor] + BLOCK - 1) / BLOCK;
    ++tensor;
  }
  const int steps = counts[0] + 1, size = tensors.size[tensor];
  float old[EACH], gradient[EACH], first[EACH], second[EACH];
#pragma unroll
  for (int k = 0; k < EACH; ++k) {
    const int i = min(block * BLOCK + k * THREADS + (int)threadIdx.x, size - 1);
    old[k] = tensors.parameter[tensor][i];
    gradient[k] = tensors.gradient[tensor][i];
    first[k] = tensors.first[tensor][i];
    second[k] = tensors.second[tensor][i];
  }
  const float rate_now = -rate / expm1f(steps * LOG_BETA1);
  const float root = rsqrtf(-expm1f(steps * LOG_BETA2));
#pragma unroll
  for (int k = 0; k < EACH; ++k) {
    const int i = block * BLOCK + k * THREADS + threadIdx.x;
    if (i >= size) break;
    // Without decay, a logit of -inf (a weight of exactly zero) stays: 0 * -inf is NaN.
    const float g = decay == 0.f ? gradient[k] : gradient[k] + decay * old[k];
    const float m = BETA1 * first[k] + (1.f - BETA1) * g;
    const float v = BETA2 * second[k] + (1.f - BETA2) * g * g;
    tensors.first[tensor][i] = m;
    tensors.second[tensor][i] = v;
    tensors.parameter[tensor][i] = old[k] - rate_now * m / (sqrtf(v) * root + EPSILON);
  }
  __syncthreads();  // all have read the count
  if (threadIdx.x == 0 && atomicAdd(counts + 1, 1) == (int)gridDim.x - 1) {
    counts[0] = steps;
    counts[1] = 0;
  }
}
