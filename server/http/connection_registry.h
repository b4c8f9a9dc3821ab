#pragma once
// Who is connected, what each connection does, and who has to go when all places are taken.

#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>

namespace hearth::http {

/// Counts connections against the limit. Beyond it the connection that has waited longest without
/// a request under way is closed in favour of the new one, so idle or crawling clients cannot keep
/// others out; if all are busy, the new one gets a place in the reserve.
/// Any thread may call any member.
class ConnectionRegistry {
  struct Entry;

 public:
  ConnectionRegistry(int32_t max_regular, int32_t max_reserve);

  /// One connection's place; gives it back when destroyed. Destroy it before closing `fd`.
  class Place {
   public:
    Place(Place&& other) noexcept;
    Place& operator=(Place&&) = delete;
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place();

    /// False if there is no place left, not even in the reserve.
    [[nodiscard]] bool valid() const { return registry_ != nullptr; }

    /// Waiting for a request. False if the server stops or the connection was chosen to go.
    [[nodiscard]] bool set_idle();
    /// Bytes of a request have arrived.
    void set_reading();
    /// The request is complete and will be handled. True for a regular place (a reserve place
    /// becomes one if there is room now), false if only the reserve's paths may be served.
    [[nodiscard]] bool set_busy();
    /// True if the connection was closed from here while it waited.
    [[nodiscard]] bool evicted() const;

   private:
    friend class ConnectionRegistry;
    Place() = default;
    Place(ConnectionRegistry* registry, std::list<Entry>::iterator entry)
        : registry_(registry), entry_(entry) {}

    ConnectionRegistry* registry_ = nullptr;
    std::list<Entry>::iterator entry_;
  };

  [[nodiscard]] Place add(int fd);

  /// Wakes and ends all connections without a request under way; later ones end after theirs.
  void stop();
  [[nodiscard]] bool stopping() const;
  [[nodiscard]] int32_t count() const;

 private:
  enum class Stage { kIdle, kReading, kBusy };
  using Time = std::chrono::steady_clock::time_point;
  struct Entry {
    int fd;
    Stage stage;
    Time since;  // of the stage
    bool regular;
    bool evicted;
  };

  void enter(Entry& entry, Stage stage);
  void evict(Entry& entry);
  void make_room();

  const int32_t max_regular_;
  const int32_t max_reserve_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;
  int32_t regular_count_ = 0;  // without those that are on their way out
  bool stopping_ = false;
};

}  // namespace hearth::http
