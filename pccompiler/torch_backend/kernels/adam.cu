struct Tensors {
  float* parameter[MOST];
  const float* gradient[MOST];
  float* first[MOST];
  float* second[MOST];
  int size[MOST];
};

// Adam (Kingma and Ba, 2015, algorithm 1); decay is added to the gradient.
extern "C" __global__ void adam(Tensors tensors, int number, const float* __restrict__ step,
                                float rate, float decay) {
  __shared__ float corrections[2];
  if (threadIdx.x == 0) {
    corrections[0] = -rate / expm1f(*step * LOG_BETA1);
    corrections[1] = rsqrtf(-expm1f(*step * LOG_BETA2));
  }
  int tensor = 0, block = blockIdx.x;
  while (tensor < number - 1 && block >= (tensors.size[tensor] + BLOCK - 1) / BLOCK) {
    block -= (tensors.size[tensor] + BLOCK - 1) / BLOCK;
    ++tensor;
  }
  __syncthreads();
  const float rate_now = corrections[0], root = corrections[1];
  const int last = min((block + 1) * BLOCK, tensors.size[tensor]);
  for (int i = block * BLOCK + threadIdx.x; i < last; i += blockDim.x) {
    const float old = tensors.parameter[tensor][i];
    const float g = tensors.gradient[tensor][i] + decay * old;
    const float m = tensors.first[tensor][i] = BETA1 * tensors.first[tensor][i] + (1.f - BETA1) * g;
    const float v = tensors.second[tensor][i] =
        BETA2 * tensors.second[tensor][i] + (1.f - BETA2) * g * g;
    tensors.parameter[tensor][i] = old - rate_now * m / (sqrtf(v) * root + EPSILON);
  }
}
