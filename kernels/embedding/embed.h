#pragma once
// The embed op (kernels/kernel_table.h, EmbedArgs): a row of the table per token, dequantized. It
// has no ISA variants: a step reads a row or a few. A null ExecContext::pool means the caller's
// thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

void embed_ref(const ExecContext& context, const EmbedArgs& args);

}  // namespace hearth::kernels
