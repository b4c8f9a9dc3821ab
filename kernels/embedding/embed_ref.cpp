#include "base/check.h"
#include "kernels/cpu/parallel.h"
#include "kernels/embedding/embed.h"
#include "kernels/quant/dequantize.h"

namespace hearth::kernels {

void embed_ref(const ExecContext& context, const EmbedArgs& args) {
  const WeightView& table = args.table;
  for_each_slice(context, args.rows, table.cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t token = args.tokens[row];
      HEARTH_CHECK(token >= 0 && token < table.rows, "a token id is a row of the embedding table");
      const auto* source =
          static_cast<const uint8_t*>(table.data) + static_cast<size_t>(token) * table.row_bytes;
      quant::dequantize_row(table.dtype, source, args.out + row * table.cols, table.cols);
    }
  });
}

}  // namespace hearth::kernels
