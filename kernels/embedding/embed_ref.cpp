#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/parallel.h"
#include "kernels/embedding/embed.h"
#include "kernels/quant/dequantize.h"

namespace hearth::kernels {

/// Elements dequantized at a time where they are not the result yet: whole blocks of every type.
static constexpr int64_t kPiece = 256;

void embed_ref(const ExecContext& context, const EmbedArgs& args) {
  const WeightView& table = args.table;
  for_each_slice(context, args.rows, table.cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t token = args.tokens[row];
      HEARTH_CHECK(token >= 0 && token < table.rows, "a token id is a row of the embedding table");
      const auto* source =
          static_cast<const uint8_t*>(table.data) + static_cast<size_t>(token) * table.row_bytes;
      float* out = args.out + row * table.cols;
      if (!args.accumulate && args.scale == 1.0F) {
        quant::dequantize_row(table.dtype, source, out, table.cols);
        continue;
      }
      float piece[kPiece];
      for (int64_t at = 0; at < table.cols; at += kPiece) {
        const int64_t count = std::min(kPiece, table.cols - at);
        quant::dequantize_row(table.dtype, source + row_bytes(table.dtype, at), piece, count);
        for (int64_t i = 0; i < count; ++i) {
          const float value = piece[i] * args.scale;
          out[at + i] = args.accumulate ? out[at + i] + value : value;
        }
      }
    }
  });
}

}  // namespace hearth::kernels
