#include "engine/quantize/rewrite_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <system_error>

#include "base/cpus.h"
#include "engine/gguf/quote.h"
#include "engine/gguf/split_name.h"
#include "engine/quantize/output_metadata.h"
#include "engine/quantize/output_tensors.h"
#include "engine/quantize/row_order.h"
#include "engine/synth/gguf_writer.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/quant/dequantize.h"
#include "kernels/quant/fit_weights.h"
#include "kernels/quant/legacy_rows.h"

namespace hearth {
namespace {

constexpr size_t kMaxNameBytes = 64;  // readers of GGUF files have room for no more
constexpr float kLargestF16 = 65504.0F;

bool is_plain_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

bool is_legacy(DType dtype) { return static_cast<uint32_t>(dtype) >= kFirstForeignType; }

/// One tensor's way from the input to the output.
struct TensorPlan {
  OutputTensor tensor;
  DType dtype;  // of the output
  RowOrder order;

  [[nodiscard]] DType source_dtype() const { return tensor.dtype(); }
  [[nodiscard]] int64_t cols() const { return tensor.dims[0]; }
  [[nodiscard]] int64_t weights() const {
    return tensor.dims[0] * tensor.dims[1] * tensor.dims[2] * tensor.dims[3];
  }
  [[nodiscard]] bool is_copy() const { return dtype == source_dtype(); }
  /// Where the row of the output lies in the input.
  [[nodiscard]] const std::byte* row(int64_t index) const {
    const int64_t rows = weights() / cols() / static_cast<int64_t>(tensor.parts.size());
    return tensor.parts[static_cast<size_t>(index / rows)]->data +
           static_cast<size_t>(order.source(index % rows)) * row_bytes(source_dtype(), cols());
  }
};

/// Equal notes about several tensors become one line.
class Notes {
 public:
  void add(std::string_view tensor, const std::string& what) {
    auto& entry = entries_[what];
    if (entry.count++ == 0) entry.first = std::string(tensor);
  }
  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::string> out;
    for (const auto& [what, entry] : entries_) {
      std::string line = quote_foreign(entry.first);
      if (entry.count > 1) line += " and " + std::to_string(entry.count - 1) + " more";
      out.push_back(line + ": " + what);
    }
    return out;
  }

 private:
  struct Entry {
    int64_t count = 0;
    std::string first;
  };
  std::map<std::string, Entry> entries_;
};

class Rewriter {
 public:
  Rewriter(const ModelFile& in, const RewriteOptions& options)
      : in_(in),
        options_(options),
        shape_(shape_of(in)),
        pool_(options.threads > 0 ? options.threads : usable_cpus(), false) {}

  Result<RewriteReport> write(const std::filesystem::path& out) {
    HEARTH_ASSIGN_OR_RETURN(auto tensors, output_tensors(in_));
    for (OutputTensor& tensor : tensors) HEARTH_RETURN_IF_ERROR(plan(std::move(tensor)));
    write_metadata(in_, output_types(), writer_);
    for (const TensorPlan& plan : plans_) add(plan);
    report_.file_bytes = writer_.file_bytes();
    report_.notes = notes_.lines();
    HEARTH_RETURN_IF_ERROR(writer_.write(out));
    return std::move(report_);
  }

 private:
  std::unexpected<Error> unsupported(const OutputTensor& tensor, const std::string& what) const {
    return fail(ErrorCode::kUnsupported, quote_foreign(in_.path().string()) + ": tensor " +
                                             quote_foreign(tensor.name) + ": " + what);
  }

  DType output_type(const OutputTensor& tensor) {
    const DType kept = quant::gguf_dtype(tensor.dtype());
    if (options_.target == nullptr || !is_quantizable(tensor.name, tensor.num_dims)) return kept;
    const DType wanted = wanted_type(*options_.target, shape_, tensor.name);
    if (wanted == kept) return kept;
    const DType fitting = fitting_type(wanted, tensor.dims[0]);
    if (fitting != wanted) {
      notes_.add(tensor.name, "rows of " + std::to_string(tensor.dims[0]) +
                                  " values are not whole blocks of " +
                                  std::string(dtype_info(wanted).name) + ", written as " +
                                  std::string(dtype_info(fitting).name));
    }
    if (!is_plain_float(tensor.dtype()) && fitting != kept)
      notes_.add(tensor.name, "was " + std::string(dtype_info(tensor.dtype()).name) +
                                  " already, the errors of both types add up");
    return fitting;
  }

  Status plan(OutputTensor tensor) {
    if (tensor.name.empty() || tensor.name.size() > kMaxNameBytes)
      return unsupported(tensor, "a name of " + std::to_string(tensor.name.size()) +
                                     " bytes, expected 1 to " + std::to_string(kMaxNameBytes));
    if (tensor.parts.front()->bytes == 0)
      return unsupported(tensor, "no values, expected at least one");
    HEARTH_ASSIGN_OR_RETURN(const RowOrder order, RowOrder::of(in_, tensor));
    const DType dtype = output_type(tensor);
    const TensorPlan& plan = plans_.emplace_back(std::move(tensor), dtype, order);
    const DTypeInfo& type = dtype_info(dtype);
    auto& share = report_.types[std::string(type.name)];
    ++share.tensors;
    share.bytes += static_cast<uint64_t>(plan.weights()) / type.block_size * type.block_bytes;
    report_.weights += plan.weights();
    return {};
  }

  /// The type's own number where one was asked for; else the input's, or that of most bytes.
  [[nodiscard]] OutputTypes output_types() const {
    OutputTypes types;
    std::map<DType, uint64_t> bytes;
    for (const TensorPlan& plan : plans_) {
      types.quantized |= !is_plain_float(plan.dtype);
      bytes[plan.dtype] += plan.tensor.parts.size() * plan.tensor.parts.front()->bytes;
    }
    if (options_.target != nullptr) {
      types.file_type = options_.target->file_type;
    } else if (const auto own = in_.metadata().u32("general.file_type"); own.has_value()) {
      types.file_type = *own;
    } else if (!bytes.empty()) {
      const auto most =
          std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
      types.file_type = file_type_of(most->first);
    }
    return types;
  }

  void add(const TensorPlan& plan) {
    const std::span dims(plan.tensor.dims.data(), plan.tensor.num_dims);
    writer_.add_checked_tensor(plan.tensor.name, plan.dtype, dims,
                               [this, &plan](int64_t first_row, std::span<std::byte> out) {
                                 return write_rows(plan, first_row, out);
                               });
  }

  Status write_rows(const TensorPlan& plan, int64_t first_row, std::span<std::byte> out) {
    if (plan.tensor.num_dims == 1 && !plan.order.is_identity()) return write_vector(plan, out);
    const size_t stride = row_bytes(plan.dtype, plan.cols());
    const auto rows = static_cast<int64_t>(out.size() / stride);
    std::atomic<int64_t> bad_row{INT64_MAX};
    pool_.run([&](int index, int threads) {
      const kernels::Slice slice = kernels::thread_slice(rows, 1, index, threads);
      std::vector<float> values(plan.is_copy() ? 0 : static_cast<size_t>(plan.cols()));
      for (int64_t r = slice.begin; r < slice.end; ++r) {
        if (write_row(plan, first_row + r, values, out.data() + static_cast<size_t>(r) * stride))
          continue;
        bad_row.store(first_row + r);
        return;
      }
    });
    if (bad_row.load() == INT64_MAX) return {};
    return unsupported(plan.tensor, "row " + std::to_string(bad_row.load()) + " has values that " +
                                        std::string(dtype_info(plan.dtype).name) +
                                        " cannot hold (not finite, or too large), expected others");
  }

  /// False if a value does not fit the type.
  static bool write_row(const TensorPlan& plan, int64_t row, std::vector<float>& values,
                        std::byte* out) {
    const DType from = plan.source_dtype();
    if (plan.is_copy()) {
      std::memcpy(out, plan.row(row), row_bytes(from, plan.cols()));
      return true;
    }
    if (is_legacy(from) && plan.dtype == quant::gguf_dtype(from))
      return quant::write_legacy_row(from, plan.row(row), out, plan.cols());
    quant::dequantize_row(from, plan.row(row), values.data(), plan.cols());
    const float largest =
        plan.dtype == DType::kF16 ? kLargestF16 : std::numeric_limits<float>::max();
    for (const float value : values)
      if (!(std::fabs(value) <= largest)) return false;
    quant::fit_row(plan.dtype, values.data(), out, plan.cols());
    return true;
  }

  /// A bias of Q or K: its values are the rows.
  static Status write_vector(const TensorPlan& plan, std::span<std::byte> out) {
    const size_t size = row_bytes(plan.dtype, 1);
    for (int64_t i = 0; i < plan.cols(); ++i)
      std::memcpy(
          out.data() + static_cast<size_t>(i) * size,
          plan.tensor.parts.front()->data + static_cast<size_t>(plan.order.source(i)) * size, size);
    return {};
  }

  const ModelFile& in_;
  const RewriteOptions options_;
  const ModelShape shape_;
  kernels::ThreadPool pool_;
  GgufWriter writer_;
  std::vector<TensorPlan> plans_;
  Notes notes_;
  RewriteReport report_;
};

/// Whether writing `out` would replace a file of the model.
bool is_part_of(const ModelFile& in, const std::filesystem::path& out) {
  std::error_code error;
  const auto same = [&](const std::filesystem::path& file) {
    return std::filesystem::equivalent(file, out, error);
  };
  if (!std::filesystem::exists(out, error)) return false;
  if (std::filesystem::is_directory(in.path(), error)) {
    for (const auto& entry : std::filesystem::directory_iterator(in.path(), error))
      if (same(entry.path())) return true;
    return false;
  }
  if (same(in.path())) return true;
  const auto name = parse_split_name(in.path().filename().string());
  if (!name) return false;
  for (uint32_t number = 1; number <= name->count; ++number)
    if (same(in.path().parent_path() / split_part_name(name->prefix, number, name->count)))
      return true;
  return false;
}

}  // namespace

Result<RewriteReport> rewrite_model(const ModelFile& in, const std::filesystem::path& out,
                                    const RewriteOptions& options) {
  std::error_code error;
  if (std::filesystem::is_directory(out, error))
    return fail(ErrorCode::kInvalidArgument,
                "OUT: " + quote_foreign(out.string()) + " is a folder, expected a file name",
                "OUT");
  if (is_part_of(in, out))
    return fail(ErrorCode::kInvalidArgument,
                "OUT: " + quote_foreign(out.string()) +
                    " is a file of the model that is read, expected another name",
                "OUT");
  return Rewriter(in, options).write(out);
}

}  // namespace hearth
