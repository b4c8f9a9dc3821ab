"""The built-in model's corpus keeps its promises: deterministic, true, and without what is held out."""
import json
import pathlib
import re
import struct
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "builtin_model"
sys.path.insert(0, str(TOOL))

from corpus import chat, hearth  # noqa: E402
from corpus.documents import draw_document  # noqa: E402
from corpus.draw import Draw, is_held_out  # noqa: E402

COUNT = 3000
GGUF = ROOT / "config" / "builtin_model" / "hearth-tiny.gguf"


def documents(held_out, count=COUNT):
    """(text, key) of the first documents of a split."""
    drawn = (draw_document(f"test:{number}", held_out) for number in range(count))
    return [(text, key) for _, text, key in filter(None, drawn)]


def turns(text, role):
    return re.findall(rf"<\|im_start\|>{role}\n(.*?)<\|im_end\|>", text, re.DOTALL)


class Corpus(unittest.TestCase):
    def test_the_same_seed_gives_the_same_text(self):
        self.assertEqual(documents(False, 300), documents(False, 300))

    def test_training_text_has_no_held_out_slot(self):
        for _, key in documents(False):
            for kind, value in key:
                if not kind.endswith("#") and kind != "document":
                    self.assertFalse(is_held_out(kind, value), (kind, value))

    def test_every_held_out_document_has_something_unseen(self):
        seen = {choice for _, key in documents(False) for choice in key}
        for _, key in documents(True, 300):
            self.assertTrue(set(key) - seen, key)

    def test_the_last_of_five_templates_is_held_out(self):
        chosen = {Draw(seed, held_out=False).form("f", list("abcde")) for seed in range(200)}
        self.assertEqual(chosen, set("abcd"))
        chosen = {Draw(seed, held_out=True).form("f", list("abcde")) for seed in range(200)}
        self.assertEqual(chosen, set("abcde"))

    def test_sums_are_right(self):
        sums = 0
        for text, _ in documents(False):
            for a, sign, b, result in re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)", text):
                expected = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign]
                self.assertEqual(int(result), expected, text)
                sums += 1
        self.assertGreater(sums, 1000)

    def test_json_answers_are_json(self):
        answers = 0
        for text, _ in documents(False):
            for answer in turns(text, "assistant"):
                call = re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", answer)
                if call or answer[0] in "{[":
                    json.loads(call[1] if call else answer)
                    answers += 1
        self.assertGreater(answers, 500)

    def test_calls_name_an_offered_function_with_its_parameters(self):
        calls = 0
        for text, _ in documents(False):
            if chat.TOOLS_BEFORE not in text:
                continue
            lines = text.split(chat.TOOLS_BEFORE)[1].split(chat.TOOLS_AFTER)[0].splitlines()
            offered = {
                tool["function"]["name"]: tool["function"]["parameters"] for tool in map(json.loads,
                    lines)}
            for line in re.findall(r"<tool_call>\n(\{\"name\": \".*)\n</tool_call>", text):
                call = json.loads(line)
                self.assertEqual(set(call["arguments"]), set(offered[call["name"]]["properties"]))
                calls += 1
        self.assertGreater(calls, 100)

    def test_options_come_from_the_config_file(self):
        options = {option["flag"]: option for option in hearth.read_options()}
        self.assertEqual(options["--port"]["default"], "8080")
        self.assertEqual(options["--port"]["env"], "HEARTH_PORT")
        self.assertIn("429", options["--max-queue"]["help"])


class Evaluation(unittest.TestCase):
    def test_sixty_prompts_with_expectations(self):
        prompts = [
            json.loads(line) for line in (TOOL / "eval" / "prompts.jsonl").read_text().splitlines()]
        self.assertEqual(len(prompts), 60)
        for prompt in prompts:
            self.assertEqual(prompt["messages"][-1]["role"], "user")
            self.assertTrue(all(prompt["expect"]))


class CommittedModel(unittest.TestCase):
    def test_the_file_is_small_and_gguf(self):
        if not GGUF.exists():
            self.skipTest(f"{GGUF.relative_to(ROOT)} is not there")
        self.assertLessEqual(GGUF.stat().st_size, 12_000_000)
        magic, version = struct.unpack("<4sI", GGUF.read_bytes()[:8])
        self.assertEqual((magic, version), (b"GGUF", 3))


class Tokenizer(unittest.TestCase):
    def test_restores_every_text(self):
        try:
            import tokenizer
        except ModuleNotFoundError as error:
            self.skipTest(f"needs python3-{error.name}")
        texts = [text for text, _ in documents(False,
                                               200)] + ["na\u00efve \U0001f525 12345\n\n  x\ty"]
        merges = tokenizer.train(tokenizer.count_words(texts), 600)
        trained = tokenizer.Tokenizer(merges, 600)
        for text in texts:
            self.assertEqual(trained.decode(trained.encode(text)), text)
        self.assertEqual(len(trained.encode("4711")), 4)


if __name__ == "__main__":
    unittest.main()
