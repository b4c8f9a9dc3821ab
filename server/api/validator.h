#pragma once
// One way to read the members of a request: type, range and presence are checked, what nobody read
// is an unknown field, and the first thing that is wrong is what the client is told.

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/chat/chat_template.h"

namespace hearth::api {

/// "a string", "an integer", … for messages.
std::string_view kind_of(const OrderedJson& value);

/// Reads each member of one object at most once. A member that is null counts as absent. The first
/// error is kept; after it nothing is written any more. Borrows the object.
class FieldReader {
 public:
  /// `path` names the object in errors: "" for the body, "messages[2]" for a part of it. A value
  /// that is not an object is an error.
  explicit FieldReader(const OrderedJson& object, std::string path = {});

  /// The member, marked as known; null if it is absent or null. The caller checks its type.
  const OrderedJson* take(std::string_view name);

  /// Writes the member to `out` if it is there, of the type, and in [min, max]. True if written.
  bool boolean(std::string_view name, bool& out);
  bool integer(std::string_view name, int64_t min, int64_t max, int64_t& out);
  bool integer(std::string_view name, int64_t min, int64_t max, int32_t& out);
  bool number(std::string_view name, double min, double max, float& out);
  bool text(std::string_view name, std::string& out);
  /// The member if it is there and an array or an object.
  const OrderedJson* array(std::string_view name);
  const OrderedJson* object(std::string_view name);

  /// Records an error about a member; `name` may go deeper: "stop[1]". Empty: about the object.
  void refuse(std::string_view name, ErrorCode code, std::string message);
  void refuse(std::string_view name, std::string message) {
    refuse(name, ErrorCode::kInvalidArgument, std::move(message));
  }
  /// Records "`name` must be EXPECTED, not KIND".
  void refuse_type(std::string_view name, std::string_view expected, const OrderedJson& value);
  /// Records the error of an inner reader.
  void refuse(Error error);
  /// Records that a member which must be there is not.
  void require(std::string_view name);

  [[nodiscard]] bool ok() const { return ok_; }
  /// The first error; else an error for the first member that nobody took.
  [[nodiscard]] Status finish();

  /// The member as errors name it.
  [[nodiscard]] std::string path_of(std::string_view name) const;

 private:
  const OrderedJson& object_;
  std::string path_;
  std::vector<const OrderedJson*> taken_;
  bool ok_ = true;
  Error error_;
};

}  // namespace hearth::api
