#include "engine/evaluate/logit_distance.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

namespace hearth {

TEST_CASE("equal logits have no distance; a constant shift has no divergence") {
  const std::array reference = {1.0F, 2.0F, 3.0F, -1.0F};
  const std::array shifted = {2.0F, 3.0F, 4.0F, 0.0F};
  CHECK(compare_logits(reference, reference, 2).max_abs == 0.0);
  const LogitDistance d = compare_logits(reference, shifted, 4);
  CHECK(d.max_abs == doctest::Approx(1.0));
  CHECK(d.rms == doctest::Approx(1.0));
  CHECK(std::abs(d.mean_kl) < 1e-12);
  CHECK(d.top1_agree == 1.0);
}

TEST_CASE("divergence and agreement of a hand-made pair") {
  // p = (1/2, 1/2), q = (1/4, 3/4): KL = ln(2/sqrt(3)).
  const std::array reference = {0.0F, 0.0F};
  const std::array ours = {0.0F, std::log(3.0F)};
  const LogitDistance d = compare_logits(reference, ours, 2);
  CHECK(d.mean_kl == doctest::Approx(std::log(2.0 / std::sqrt(3.0))));
  CHECK(d.top1_agree == 0.0);
}

TEST_CASE("a NaN is infinitely far away, not equal") {
  const std::array reference = {0.0F, 0.0F};
  const std::array ours = {0.0F, std::numeric_limits<float>::quiet_NaN()};
  CHECK(std::isinf(compare_logits(reference, ours, 2).max_abs));
}

TEST_CASE("negative log-likelihood of a fair coin is ln 2") {
  const std::array logits = {5.0F, 5.0F};
  CHECK(negative_log_likelihood(logits, 1) == doctest::Approx(std::log(2.0)));
}

}  // namespace hearth
