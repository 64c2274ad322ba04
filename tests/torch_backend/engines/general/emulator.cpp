// Entrances to the emulated kernels of general.cu, which is included above this text.
extern "C" {
void run_states(const int *n, const REAL *x, int64 batch, int variables, int32 *state) {
  everywhere(n, states, x, batch, variables, state);
}
void run_up(const int *n, Circuit c) { everywhere(n, up, c); }
void run_best_up(const int *n, Circuit c) { everywhere(n, best_up, c); }
void run_choose_down(const int *n, Circuit c) { everywhere(n, choose_down, c); }
void run_roots(const int *n, Circuit c) { everywhere(n, roots, c); }
void run_down(const int *n, Circuit c) { everywhere(n, down, c); }
void run_sum_gradients(const int *n, Circuit c, const int32 *blocks, const int32 *starts,
                       const int32 *users, REAL *grads) {
  everywhere(n, sum_gradients, c, blocks, starts, users, grads);
}
void run_sorted(const int *n, const int32 *state, int64 batch, int most, int32 *ends,
                int32 *order) {
  everywhere(n, sorted, state, batch, most, ends, order);
}
void run_leaf_gradients(const int *n, Circuit c, const int32 *weights, const int64 *before,
                        int number, const int32 *starts, const int32 *users, const int32 *ends,
                        const int32 *order, int most, int lanes, REAL *grads) {
  everywhere(n, leaf_gradients, c, weights, before, number, starts, users, ends, order, most,
             lanes, grads);
}
}
