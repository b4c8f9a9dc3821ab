"""Sums, differences, products, counting, comparing. Number pairs are held out whatever the wording."""
from .draw import Rejected
from .words import FRUITS, NAMES, OBJECTS, capital, number_word, plural

_ADD = ["What is {a} + {b}?", "{a} + {b}", "{a}+{b}", "What is {a} plus {b}?",
        "How much is {a} + {b}?",
        "Add {a} and {b}.", "Calculate {a} + {b}.", "What is the sum of {a} and {b}?",
        "{a} + {b} = ?",
        "{a} plus {b}", "Compute {a}+{b}.", "What's {a}+{b}?", "How much is {a} plus {b}?",
        "What do you get when you add {b} to {a}?", "Can you add {a} and {b}?"]
_SUBTRACT = ["What is {a} - {b}?", "{a} - {b}", "{a}-{b}", "What is {a} minus {b}?",
             "How much is {a} - {b}?",
             "Subtract {b} from {a}.", "Calculate {a} - {b}.",
             "What is the difference of {a} and {b}?",
             "{a} - {b} = ?", "{a} minus {b}", "Take {b} away from {a}.", "What's {a}-{b}?",
             "How much is {a} minus {b}?", "Can you subtract {b} from {a}?"]
_TIMES = ["What is {a} times {b}?", "{a} * {b}", "{a} x {b}", "Multiply {a} by {b}.",
          "How much is {a} times {b}?",
          "What is {a} * {b}?", "Calculate {a} * {b}.", "What's {a} times {b}?",
          "Compute {a} times {b}."]
_STEPS = ["What is {a} + {b}? Step by step.", "Add {a} and {b} step by step.",
          "Show me how to add {a} and {b}.",
          "Explain {a} + {b}."]
_MORE = ["{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?",
         "{n} has {a} {t}. {o} gives {n} {b} more. How many {t} does {n} have?",
         "There are {a} {t} on the table. {n} puts {b} more there. How many {t} are there?",
         "{n} finds {a} {t} and {o} finds {b}. How many {t} do they have together?",
         "{n} owns {a} {t} and gets {b} from {o}. How many {t} does {n} own now?"]
_FEWER = ["{n} has {a} {t} and gives {b} to {o}. How many {t} does {n} have left?",
          "{n} has {a} {t} and loses {b}. How many {t} are left?",
          "There are {a} {t} in the basket. {n} takes {b}. How many {t} are left?",
          "{n} had {a} {t} and sold {b}. How many {t} does {n} still have?",
          "Of {a} {t}, {n} gives away {b}. How many {t} remain?"]


def add(draw):
    a, b = draw.number(0, 99), draw.number(0, 99)
    if draw.chance(0.15):
        a, b = draw.number(0, 12), draw.number(0, 12)
    draw.values("sum", *sorted((a, b)))
    form = draw.form("add", _ADD).format(a=a, b=b)
    if "to {a}" in form:
        a, b = b, a
    return form, f"{a} + {b} = {a + b}."


def add_steps(draw):
    a, b = draw.number(10, 99), draw.number(10, 99)
    draw.values("sum", *sorted((a, b)))
    tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
    return (draw.form("steps", _STEPS).format(a=a, b=b),
            f"{a // 10 * 10} + {b // 10 * 10} = {tens}, and {a % 10} + {b % 10} = {ones}. "
            f"{tens} + {ones} = {a + b}. So {a} + {b} = {a + b}.")


def add_words(draw):
    a, b = draw.number(0, 20), draw.number(0, 20)
    minus = draw.chance(0.4) and a >= b
    draw.values("words sum", minus, a, b)
    text = draw.form("word sum", ["What is {a} {o} {b}?", "{a} {o} {b}", "How much is {a} {o} {b}?",
                                  "Calculate {a} {o} {b}.", "What's {a} {o} {b}?"])
    text = text.format(a=number_word(a), b=number_word(b), o="minus" if minus else "plus")
    answer = f"{a} - {b} = {a - b}." if minus else f"{a} + {b} = {a + b}."
    return capital(text), answer


def too_large(draw):
    a, b = draw.number(101, 9999), draw.number(101, 9999)
    text = draw.form("too large", ["What is {a} {o} {b}?", "{a} {o} {b}",
                                   "How much is {a} {o} {b}?", "Calculate {a} {o} {b}.",
                                   "{a}{o}{b}", "Compute {a} {o} {b}."])
    sign = draw.one_of(["+", "-", "*", "/", "times"])
    return text.format(a=a, b=b, o=sign), "I don't know. These numbers are too large for me."


def subtract(draw):
    a, b = sorted((draw.number(0, 99), draw.number(0, 99)), reverse=True)
    draw.values("difference", a, b)
    return draw.form("subtract", _SUBTRACT).format(a=a, b=b), f"{a} - {b} = {a - b}."


def times(draw):
    a, b = draw.number(0, 12), draw.number(0, 10)
    if draw.chance(0.5):
        a, b = b, a
    # Every product is taught, as a table is learnt by heart. Held out are combinations with a wording.
    index = draw.number(0, len(_TIMES) - 1)
    draw.values("product", a, b, index)
    return _TIMES[index].format(a=a, b=b), f"{a} * {b} = {a * b}."


def word_problem(draw):
    name, other = draw.slots("name", NAMES, 2)
    thing = plural(draw.slot("thing", FRUITS + OBJECTS))
    a, b = draw.number(1, 20), draw.number(1, 20)
    more = draw.chance(0.5)
    if not more and a < b:
        a, b = b, a
    if a == b and not more:
        raise Rejected
    draw.values("story sum", more, a, b)
    if more:
        text = draw.form("more", _MORE)
        answer = f"{a} + {b} = {a + b}. The answer is {a + b} {thing}."
    else:
        text = draw.form("fewer", _FEWER)
        answer = f"{a} - {b} = {a - b}. The answer is {a - b} {thing}."
    return text.format(n=name, o=other, a=a, b=b, t=thing), answer


def count(draw):
    kind = draw.one_of(["up", "up", "down", "step"])
    if kind == "up":
        low = draw.one_of([1, 1, 1, 0, draw.number(1, 80)])
        high = low + draw.number(2, 20)
        draw.values("count up", low, high)
        text = draw.form("count", ["Count from {a} to {b}.", "Can you count from {a} to {b}?",
                                   "Count up from {a} to {b}.",
                                   "Write the numbers from {a} to {b}.",
                                   "Please count: {a} to {b}.",
                                   "List the numbers from {a} to {b}."])
        if low == 1 and draw.chance(0.4):
            text = draw.form("count to", ["Count to {b}.", "Can you count to {b}?",
                                          "Please count to {b}."])
        numbers = range(low, high + 1)
    elif kind == "down":
        low = draw.one_of([1, 1, 0, draw.number(1, 60)])
        high = low + draw.number(2, 15)
        draw.values("count down", high, low)
        text = draw.form("down", ["Count down from {b} to {a}.", "Count backwards from {b} to {a}.",
                                  "Count from {b} down to {a}.",
                                  "Write the numbers from {b} down to {a}.",
                                  "Please count backwards: {b} to {a}."])
        numbers = range(high, low - 1, -1)
    else:
        step = draw.one_of([2, 5, 10])
        low = step * draw.number(0, 3)
        high = low + step * draw.number(3, 8)
        draw.values("count steps", step, low, high)
        text = draw.form("steps of", ["Count from {a} to {b} in steps of {s}.",
                                      "Count by {s} from {a} to {b}.",
                                      "Count in {s}s from {a} to {b}."])
        return text.format(a=low, b=high, s=step), ", ".join(map(str, range(low, high + 1,
            step))) + "."
    return text.format(a=low, b=high), ", ".join(map(str, numbers)) + "."


def after(draw):
    a = draw.number(1, 98)
    kind = draw.one_of(["after", "before"])
    draw.values(kind, a)
    text = draw.form("neighbour", ["What number comes {k} {a}?", "Which number comes {k} {a}?",
                                   "What comes right {k} {a}?", "Tell me the number {k} {a}.",
                                   "Which number is just {k} {a}?"])
    return text.format(k=kind, a=a), f"{a + 1 if kind == 'after' else a - 1} comes {kind} {a}."


def compare(draw):
    a, b = draw.number(0, 99), draw.number(0, 99)
    if a == b:
        raise Rejected
    bigger = draw.chance(0.5)
    draw.values("compare", *sorted((a, b)))
    word = draw.one_of(["bigger", "larger", "greater"]) if bigger else draw.one_of(["smaller",
        "less"])
    text = draw.form("compare", ["Which is {w}, {a} or {b}?", "Which number is {w}: {a} or {b}?",
                                 "What is {w}, {a} or {b}?", "{a} or {b}: which is {w}?",
                                 "Of {a} and {b}, which is {w}?"])
    x, y = (max(a, b), min(a, b)) if bigger else (min(a, b), max(a, b))
    return text.format(w=word, a=a, b=b), f"{x} is {word} than {y}."


def sort(draw):
    numbers = draw.random.sample(range(1, 100), draw.number(3, 4))
    draw.values("sort", *sorted(numbers))
    text = draw.form("sort", ["Sort these numbers: {n}.", "Put these numbers in order: {n}.",
                              "Sort: {n}",
                              "Sort {n} from small to large.", "Order these numbers: {n}."])
    return text.format(n=", ".join(map(str, numbers))), ", ".join(map(str, sorted(numbers))) + "."


def in_words(draw):
    a = draw.number(0, 100)
    draw.values("words", a, draw.number(0, 1))
    if draw.chance(0.6):
        text = draw.form("in words", ["Write {a} in words.", "How do you write {a} in words?",
                                      "Spell out {a}.",
                                      "What is {a} in words?", "Say {a} as a word."])
        return text.format(a=a), f"{a} in words is {number_word(a)}."
    text = draw.form("as number", ["Write {w} as a number.", "What number is {w}?",
                                   "Write {w} in digits.",
                                   "Give me {w} in digits.", "What is {w} as a number?"])
    return text.format(w=number_word(a)), f"{number_word(a).capitalize()} is {a}."


def parity(draw):
    a = draw.number(0, 99)
    draw.values("parity", a)
    text = draw.form("parity", ["Is {a} even or odd?", "Is the number {a} even or odd?",
                                "{a}: even or odd?",
                                "Is {a} odd or even?", "Tell me if {a} is even or odd."])
    return text.format(a=a), f"{a} is {'odd' if a % 2 else 'even'}."


def sequence(draw):
    step = draw.one_of([1, 1, 2, 2, 3, 5, 10])
    low = draw.number(1, 30) if step < 5 else step * draw.number(0, 6)
    draw.values("sequence", low, step)
    shown = ", ".join(str(low + step * i) for i in range(draw.number(3, 4)))
    first = low + step * len(shown.split(", "))
    text = draw.form("sequence", ["Continue: {s}", "Continue the list: {s}, ...",
                                  "What comes next: {s}?",
                                  "Continue this sequence: {s}", "Go on: {s}"])
    return text.format(s=shown), ", ".join(str(first + step * i) for i in range(4)) + "."


FAMILY = [(add, 13), (subtract, 11), (times, 3), (add_steps, 2), (add_words, 1), (too_large, 0.5),
          (word_problem, 3), (count, 3), (after, 1), (compare, 2),
          (sort, 1), (in_words, 1), (parity, 1), (sequence, 1)]
