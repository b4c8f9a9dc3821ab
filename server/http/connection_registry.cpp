#include "server/http/connection_registry.h"

#include <sys/socket.h>

#include <utility>

namespace hearth::http {
namespace {

// A request that arrives normally is complete within a round trip or two. One that takes longer
// than this may be sacrificed when places are short.
constexpr std::chrono::seconds kFairReadingTime{1};

}  // namespace

ConnectionRegistry::ConnectionRegistry(int32_t max_regular, int32_t max_reserve)
    : max_regular_(max_regular), max_reserve_(max_reserve) {}

ConnectionRegistry::Place ConnectionRegistry::add(int fd) {
  std::lock_guard lock(mutex_);
  if (static_cast<int32_t>(entries_.size()) >= max_regular_ + max_reserve_) return {};
  if (regular_count_ >= max_regular_) make_room();
  const bool regular = regular_count_ < max_regular_;
  if (regular) ++regular_count_;
  entries_.push_back({fd, Stage::kIdle, std::chrono::steady_clock::now(), regular, false});
  return {this, std::prev(entries_.end())};
}

void ConnectionRegistry::make_room() {
  const Time now = std::chrono::steady_clock::now();
  Entry* choice = nullptr;
  for (Entry& entry : entries_) {
    if (entry.stage == Stage::kBusy || entry.evicted || !entry.regular) continue;
    if (entry.stage == Stage::kReading && now - entry.since < kFairReadingTime) continue;
    // Idle before reading, then the one that has been so for longest.
    if (choice == nullptr ||
        std::pair(entry.stage, entry.since) < std::pair(choice->stage, choice->since))
      choice = &entry;
  }
  if (choice != nullptr) evict(*choice);
}

void ConnectionRegistry::evict(Entry& entry) {
  entry.evicted = true;
  if (entry.regular) --regular_count_;
  entry.regular = false;
  // Its thread waits in poll(); the end of the stream wakes it.
  (void)::shutdown(entry.fd, SHUT_RD);
}

void ConnectionRegistry::enter(Entry& entry, Stage stage) {
  entry.stage = stage;
  entry.since = std::chrono::steady_clock::now();
}

void ConnectionRegistry::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  for (Entry& entry : entries_) {
    if (entry.stage != Stage::kBusy && !entry.evicted) evict(entry);
  }
}

bool ConnectionRegistry::stopping() const {
  std::lock_guard lock(mutex_);
  return stopping_;
}

int32_t ConnectionRegistry::count() const {
  std::lock_guard lock(mutex_);
  return static_cast<int32_t>(entries_.size());
}

ConnectionRegistry::Place::Place(Place&& other) noexcept
    : registry_(std::exchange(other.registry_, nullptr)), entry_(other.entry_) {}

ConnectionRegistry::Place::~Place() {
  if (registry_ == nullptr) return;
  std::lock_guard lock(registry_->mutex_);
  if (entry_->regular) --registry_->regular_count_;
  registry_->entries_.erase(entry_);
}

bool ConnectionRegistry::Place::set_idle() {
  std::lock_guard lock(registry_->mutex_);
  registry_->enter(*entry_, Stage::kIdle);
  return !registry_->stopping_ && !entry_->evicted;
}

void ConnectionRegistry::Place::set_reading() {
  std::lock_guard lock(registry_->mutex_);
  registry_->enter(*entry_, Stage::kReading);
}

bool ConnectionRegistry::Place::set_busy() {
  std::lock_guard lock(registry_->mutex_);
  registry_->enter(*entry_, Stage::kBusy);
  if (!entry_->regular && !entry_->evicted && registry_->regular_count_ < registry_->max_regular_) {
    entry_->regular = true;
    ++registry_->regular_count_;
  }
  return entry_->regular;
}

bool ConnectionRegistry::Place::evicted() const {
  std::lock_guard lock(registry_->mutex_);
  return entry_->evicted;
}

}  // namespace hearth::http
