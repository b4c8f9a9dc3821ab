#include "server/chat/chat_template.h"

// Unoptimized and instrumented functions have several times the frames on the stack.
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEARTH_LARGE_FRAMES
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HEARTH_LARGE_FRAMES
#endif
#endif

#include <doctest/doctest.h>
#include <pthread.h>

#include <functional>
#include <string>

namespace hearth {
namespace {

std::string render(const std::string& source, const OrderedJson& context = OrderedJson::object()) {
  auto parsed = ChatTemplate::parse(source);
  if (!parsed.has_value()) return "parse: " + parsed.error().message;
  auto out = parsed->render_context(context, 0);
  return out.has_value() ? *out : "error: " + out.error().message;
}

ErrorCode error_of(const std::string& source, TemplateLimits limits = {}) {
  auto parsed = ChatTemplate::parse(source, limits);
  if (!parsed.has_value()) return parsed.error().code;
  auto out = parsed->render_context(OrderedJson::object(), 0);
  return out.has_value() ? ErrorCode::kInternal : out.error().code;
}

TEST_CASE("white space control") {
  CHECK(render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n") == "a\n  b\nc");
  CHECK(render("a \n {%- if true -%} \n b \n {%- endif -%} \n c") == "abc");
  CHECK(render("  {%+ if true %}x{% endif +%}\ny") == "  x\ny");
  CHECK(render("{% raw %}{{ x }}{% endraw %}") == "{{ x }}");
  CHECK(render("a {#- c -#} b") == "ab");
  CHECK(render("{{ {'a': {'b': 1}}['a'] }}") == "{'b': 1}");
}

TEST_CASE("expressions follow Python") {
  CHECK(render("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 1 / 4 }}") ==
        "3 -4 2 1024 0.25");
  CHECK(render("{{ 9223372036854775807 + 1 }} {{ 2 ** 100 }} {{ (2 ** 70) // 3 % 1000 }}") ==
        "9223372036854775808 1267650600228229401496703205376 141");
  CHECK(render("{{ 0.1 + 0.2 }} {{ 1e16 }} {{ 123456789012345.0 }} {{ 1e-5 }}") ==
        "0.30000000000000004 1e+16 123456789012345.0 1e-05");
  CHECK(render("{{ ['a\\'b', \"c\", none, 1.0, (1,)] }}") == "[\"a'b\", 'c', None, 1.0, (1,)]");
  CHECK(render("{{ 'äöü'[1] }}{{ 'äöü'[::-1] }}{{ 'äöü' | length }}{{ 'straße' | upper }}") ==
        "öüöä3STRASSE");
  CHECK(render("{{ 1 < 2 < 3 }} {{ 'a' in 'abc' }} {{ 2 not in [1] }} {{ not 1 == 2 }}") ==
        "True True True True");
  CHECK(render("{{ '%s-%05.1f-%d' % ('x', 2.25, 3) }} {{ '{:>5}|{a!r}'.format(1, a='b') }}") ==
        "x-002.2-3     1|'b'");
  CHECK(render("{{ ('<a>' | safe) + '<b>' }}{{ '<' | e }}") == "<a>&lt;b&gt;&lt;");
  CHECK(render("{{ {'b': [1], 'a': 'ü'} | tojson(sort_keys=true, ensure_ascii=true) }}") ==
        "{\"a\": \"\\u00fc\", \"b\": [1]}");
}

TEST_CASE("statements and scopes") {
  CHECK(render("{% for i in range(5) if i % 2 %}{{ loop.index }}{{ i }},{% endfor %}") == "11,23,");
  CHECK(render("{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}") == "1");
  CHECK(render("{% for i in [] %}{% else %}none{% endfor %}") == "none");
  CHECK(render("{% for n in [[1, [2]], [3]] recursive %}{% if n is iterable %}({{ loop(n) }})"
               "{% else %}{{ n }}{% endif %}{% endfor %}") == "(1(2))(3)");
  CHECK(render("{% for x in [1,1,2] %}{{ loop.changed(x) }} {% endfor %}") == "True False True ");
  CHECK(render("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}") == "3False");
  CHECK(render("{% macro m(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}"
               "{{ m(1, 2, 3, z=4) }}") == "12(3,){'z': 4}");
  CHECK(render("{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}") ==
        "aba");
  CHECK(render("{% generation %}x{% endgeneration %}") == "x");
  CHECK(render("{% include 'x' %}").starts_with("parse: chat template, line 1: the tag 'include'"));
}

TEST_CASE("sorting and grouping do not order what is equal") {
  CHECK(render("{{ [none, none] | sort }}{{ [[2], [1]] | sort(attribute='x') }}") ==
        "[None, None][[2], [1]]");
  CHECK(render("{{ [3, 1] | unique(attribute='x') | list }}") == "[3]");
  CHECK(render("{{ [none, 1] | sort }}").starts_with("error"));
  CHECK(render("{% for g in [{'r': 'b'}, {'r': 'a'}, {'r': 'b'}] | groupby('r') %}"
               "{{ g.grouper }}{{ g.list | length }}{% endfor %}") == "a1b2");
}

TEST_CASE("a loop whose every pass is left early runs its else") {
  CHECK(render("{% for i in [1, 2] %}{% break %}{% else %}E{% endfor %}") == "E");
  CHECK(render("{% for i in [1, 2] %}{% continue %}{% else %}E{% endfor %}") == "E");
  CHECK(render("{% for i in [1, 2] %}{{ i }}{% if i == 2 %}{% break %}{% endif %}"
               "{% else %}E{% endfor %}") == "12");
  CHECK(render("{% for i in [1, 2] %}{{ i }}{% for j in [] %}{% else %}{% break %}{% endfor %}"
               "{% endfor %}") == "1");
}

TEST_CASE("numbers that are neither odd nor even") {
  CHECK(render("{{ 1.5 is odd }} {{ 1.5 is even }} {{ -3 is odd }} {{ 4.0 is even }}") ==
        "False False True True");
  CHECK(render("{{ 0.0 // -1 }} {{ 7.5 // -2 }} {{ 0.3 // 0.1 }}") == "-0.0 -4.0 2.0");
}

TEST_CASE("slices need a sequence") {
  CHECK(
      render("{{ n[1:] }}", {{"n", nullptr}}).ends_with("'NoneType' object is not subscriptable"));
  CHECK(render("{{ d[1:] }}", {{"d", {{"a", 1}}}}).ends_with("unhashable type: 'slice'"));
  CHECK(render("{{ range(5)[::-2] }}{{ range(3)[::2] }}") == "range(4, -1, -2)range(0, 3, 2)");
}

TEST_CASE("details of filters, views and formats") {
  CHECK(render("{{ [1, 2] | truncate(5) }}{{ 'abcdefgh' | truncate(4, leeway=0) }}") ==
        "[1, 2]a...");
  CHECK(render("{{ 5 | truncate }}").starts_with("error"));
  CHECK(render("{{ {'a': 1}.keys() == {'a': 2}.keys() }} {{ {'a': 1}.items() == {'a': 2}.items() }}"
               " {{ {}.keys() == {}.items() }}") == "True False True");
  CHECK(render("{{ 'x' % [1] }}{{ 'x' % nothing }}") == "xx");
  CHECK(render("{{ 'x' % 1 }}").ends_with("not all arguments converted during string formatting"));
  CHECK(render("{{ strftime_now('%-d %_d %^b %Y|%Z%z|%f') }}") == "1  1 JAN 1970||000000");
}

TEST_CASE("errors name the line and keep the template's own words") {
  CHECK(render("\n\n{{ a.b }}") == "error: chat template, line 3: 'a' is undefined");
  CHECK(render("{% if %}").starts_with("parse: chat template, line 1"));
  auto parsed = ChatTemplate::parse("{{ raise_exception('roles must alternate') }}");
  REQUIRE(parsed.has_value());
  auto out = parsed->render(ChatTemplateInput{});
  REQUIRE_FALSE(out.has_value());
  CHECK(out.error().code == ErrorCode::kInvalidArgument);
  CHECK(out.error().message == "roles must alternate");
}

TEST_CASE("hostile templates meet a limit") {
  const ErrorCode kLimit = ErrorCode::kTooLarge;
  CHECK(error_of("{{ 'x' * 10**9 }}") == kLimit);
  CHECK(error_of("{{ [0] * 10**12 }}") == kLimit);
  CHECK(error_of("{{ range(10**9) }}") == kLimit);
  CHECK(error_of("{{ 10 ** 99999 }}") == kLimit);
  CHECK(error_of("{{ '%999999999999d' % 1 }}") == kLimit);
  CHECK(error_of("{{ 'x'.ljust(10**10) }}") == kLimit);
  CHECK(error_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}") == kLimit);
  CHECK(
      error_of("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}") ==
      kLimit);
  CHECK(error_of("{% set n = namespace(s='x') %}{% for i in range(99) %}"
                 "{% set n.s = n.s + n.s %}{% endfor %}") == kLimit);
  CHECK(error_of("{% set n = namespace(l=[]) %}{% for i in range(99999) %}"
                 "{% set n.l = [n.l] %}{% endfor %}") == kLimit);
  CHECK(error_of("{% set n = namespace(l=[]) %}{% for i in range(999) %}"
                 "{% set n.l = n.l + ['x' * 1000000 ~ i] %}{% endfor %}") == kLimit);
  CHECK(error_of("{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}") ==
        kLimit);
  CHECK(error_of("{{ " + std::string(100000, '-') + "1 }}") == kLimit);
  std::string ifs;
  for (int i = 0; i < 1000; ++i) ifs += "{% if true %}";
  CHECK(error_of(ifs) == kLimit);
  CHECK(error_of("{% set n = namespace() %}{% set n.n = n %}{{ n }}") == kLimit);
}

/// Runs `work` on a thread with a stack of `bytes`.
void run_on_stack(size_t bytes, std::function<void()> work) {
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, bytes) == 0);
  auto entry = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  pthread_t thread{};
  REQUIRE(pthread_create(&thread, &attributes, entry, &work) == 0);
  REQUIRE(pthread_join(thread, nullptr) == 0);
  pthread_attr_destroy(&attributes);
}

std::string nested(const std::string& open, const std::string& close, int levels) {
  std::string out = "{{ ";
  for (int i = 0; i < levels; ++i) out += open;
  out += "1";
  for (int i = 0; i < levels; ++i) out += close;
  return out + " }}";
}

TEST_CASE("the deepest templates fit a small stack") {
#ifdef HEARTH_LARGE_FRAMES
  constexpr size_t kStack = size_t{8} << 20;
#else
  constexpr size_t kStack = size_t{1} << 20;
#endif
  const std::string deep[] = {
      nested("1 is eq(", ")", 127),
      nested("1|default(", ")", 127),
      nested("[", "]", 127),
      "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% macro m(a) %}{{ [([(m(a)|upper|default('x'))])] }}{% endmacro %}{{ m(1) }}",
      "{% macro m(a) %}{{ m(dict(a=[m(a)|default(1)])) }}{% endmacro %}{{ m(1) }}",
      "{% set n = namespace(l=[]) %}{% for i in range(190) %}{% set n.l = [n.l] %}{% endfor %}"
      "{{ n.l|tojson(indent=1) }}{{ n.l == [n.l] }}{{ n.l < [n.l] }}",
  };
  for (const std::string& source : deep) {
    std::string out;
    run_on_stack(kStack, [&] { out = render(source); });
    INFO(source.substr(0, 80));
    CHECK_FALSE(out.empty());
  }
}

TEST_CASE("long chains are flat, not deep") {
  std::string sum = "{{ 0";
  std::string filters = "{{ 'x'";
  for (int i = 0; i < 20000; ++i) {
    sum += " + 1";
    filters += "|trim";
  }
  CHECK(render(sum + " }}") == "20000");
  CHECK(render(filters + " }}") == "x");
}

TEST_CASE("a conversation of 10,000 messages stays within the limits") {
  ChatTemplateInput input;
  for (int i = 0; i < 10000; ++i) {
    input.messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", "hello"}});
  }
  input.tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  for (const std::string& name : builtin_chat_template_names()) {
    INFO(name);
    auto source = builtin_chat_template(name);
    REQUIRE(source.has_value());
    auto parsed = ChatTemplate::parse(*source);
    REQUIRE(parsed.has_value());
    auto out = parsed->render(input);
    REQUIRE_MESSAGE(out.has_value(), (out.has_value() ? "" : out.error().message));
    CHECK(out->size() > 50000);
  }
}

TEST_CASE("built-in templates") {
  CHECK(builtin_chat_template_names().size() >= 10);
  auto unknown = builtin_chat_template("nope");
  REQUIRE_FALSE(unknown.has_value());
  CHECK(unknown.error().code == ErrorCode::kNotFound);
  CHECK(unknown.error().message.find("chatml") != std::string::npos);
  auto chatml = ChatTemplate::parse(*builtin_chat_template("chatml"));
  REQUIRE(chatml.has_value());
  ChatTemplateInput input;
  input.messages = {{{"role", "system"}, {"content", "Be brief."}},
                    {{"role", "user"}, {"content", "Hi"}}};
  CHECK(chatml->render(input).value() ==
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n");
}

}  // namespace
}  // namespace hearth
