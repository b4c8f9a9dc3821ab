#include "kernels/cuda/upload_lanes.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

namespace hearth::kernels {
namespace {

/// Between calls of `progress`, also while nothing moves: it may be told to stop.
constexpr std::chrono::milliseconds kProgressInterval{100};

/// Hands out the chunks of an upload in order, to whichever lane is free, and counts what is done.
class Chunks {
 public:
  explicit Chunks(std::span<const UploadPiece> pieces) : pieces_(pieces) {}

  std::optional<UploadPiece> next() {
    std::lock_guard lock(mutex_);
    while (!stopped_ && piece_ < pieces_.size() && offset_ == pieces_[piece_].bytes) {
      ++piece_;
      offset_ = 0;
    }
    if (stopped_ || piece_ == pieces_.size()) return std::nullopt;
    const UploadPiece& piece = pieces_[piece_];
    const size_t bytes = std::min(kUploadChunkBytes, piece.bytes - offset_);
    const UploadPiece chunk{.to = static_cast<std::byte*>(piece.to) + offset_,
                            .from = static_cast<const std::byte*>(piece.from) + offset_,
                            .bytes = bytes};
    offset_ += bytes;
    return chunk;
  }
  void note_done(size_t bytes) {
    std::lock_guard lock(mutex_);
    done_ += bytes;
  }
  void note_lane_end() {
    std::lock_guard lock(mutex_);
    ++ended_lanes_;
    changed_.notify_one();
  }
  void stop() {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  /// True when so many lanes have ended; false when it is time to tell of progress.
  bool wait_for_end(size_t lanes) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kProgressInterval, [&] { return ended_lanes_ == lanes; });
  }
  uint64_t done() {
    std::lock_guard lock(mutex_);
    return done_;
  }

 private:
  const std::span<const UploadPiece> pieces_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t piece_ = 0;
  size_t offset_ = 0;  // in that piece
  uint64_t done_ = 0;
  size_t ended_lanes_ = 0;
  bool stopped_ = false;
};

/// Has the pages of a file read while the chunk's first ones are already copied. Memory that is no
/// file needs none of it, and says so by an error.
void read_ahead(const UploadPiece& chunk) {
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(chunk.from) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(chunk.from) + chunk.bytes;
  (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

void run_lane(UploadLane& lane, Chunks& chunks) {
  lane.begin();
  while (const auto chunk = chunks.next()) {
    read_ahead(*chunk);
    lane.put(chunk->to, chunk->from, chunk->bytes);
    chunks.note_done(chunk->bytes);
  }
  lane.finish();
  chunks.note_lane_end();
}

}  // namespace

Status upload_in_lanes(std::span<const UploadPiece> pieces,
                       const std::vector<std::unique_ptr<UploadLane>>& lanes,
                       const UploadProgress& progress) {
  Chunks chunks(pieces);
  std::vector<std::jthread> threads;
  for (const auto& lane : lanes) threads.emplace_back([&] { run_lane(*lane, chunks); });
  Status status;
  while (!chunks.wait_for_end(lanes.size())) {
    if (status.has_value() && progress) status = progress(chunks.done());
    if (!status.has_value()) chunks.stop();
  }
  if (status.has_value() && progress) status = progress(chunks.done());
  return status;
}

}  // namespace hearth::kernels
