"""Short stories: who, with whom, where, which thing is lost and found; and questions about them."""
from .words import COLOURS, JOBS, NAMES, OBJECTS, PLACES, a, capital

_KINDS = ["girl", "boy", "fox", "bear", "rabbit", "mouse", "owl", "cat", "dog", "hedgehog",
          "squirrel", "otter", "dragon", "king", "queen", "princess", "prince", "robot",
          "wizard", "giant", "pirate", "knight", "fairy", "dwarf", "goose", "wolf", "frog", "lion"]
_TRAITS = ["brave", "curious", "kind", "clever", "cheerful", "quiet", "patient", "little", "old",
           "shy"]
_WHERE_FOUND = ["under a tree", "behind the door", "in a nest", "under the bridge",
                "beside the well", "in the tall grass", "on the roof", "under a stone",
                "in a hollow log",
                "behind the old wall", "on the window sill", "in the boat"]
_GIFTS = ["a warm soup", "a piece of cake", "an apple pie", "a cup of tea", "honey on bread",
          "a basket of plums"]
_TIMES = ["One morning", "One evening", "One day", "One cold night", "One sunny afternoon",
          "On a rainy day", "On the first day of spring", "In the middle of winter"]


class Story:
    """The choices of one story; every sentence and every answer comes from them."""

    def __init__(self, draw):
        self.hero, self.friend = draw.slots("name", NAMES, 2)
        self.kind, self.friend_kind = draw.slots("story kind", _KINDS + JOBS, 2)
        self.trait = draw.slot("trait", _TRAITS)
        self.home, self.place = draw.slots("place", PLACES, 2)
        self.colour, self.thing = draw.slot("colour", COLOURS), draw.slot("thing", OBJECTS)
        self.found = draw.slot("found", _WHERE_FOUND)
        self.gift = draw.slot("gift", _GIFTS)
        self.time = draw.slot("story time", _TIMES)

    def sentences(self, draw):
        s = self
        yield draw.form("story begin", [
            f"Once upon a time there was {a(s.trait)} {s.kind} called {s.hero}.",
                                        f"Once there was {a(s.trait)} {s.kind} named {s.hero}.",
            f"There once lived {a(s.trait)} {s.kind}. The name was {s.hero}.",
                                        f"{s.hero} was {a(s.trait)} {s.kind}.",
            f"This is the story of {s.hero}, {a(s.trait)} {s.kind}."])
        yield draw.form("story home", [f"{s.hero} lived near the {s.home}.",
                                       f"{s.hero} had a small house by the {s.home}.",
                                       f"The home of {s.hero} was at the {s.home}."])
        yield draw.form("story thing",
                        [f"More than anything {s.hero} loved {a(s.colour)} {s.thing}.",
                         f"{s.hero} had {a(s.colour)} {s.thing} and took it everywhere.",
                                        f"{s.hero} owned {a(s.colour)} {s.thing}, and it was very dear.", f"A long time ago {s.hero} had been given {a(s.colour)} {s.thing}."])
        yield draw.form("story lost", [f"{s.time} the {s.thing} was gone.",
                                       f"{s.time} {s.hero} could not find the {s.thing}.",
                                       f"{s.time} {s.hero} lost the {s.thing}.",
                                       f"{s.time} {s.hero} looked for the {s.thing}, but it was not there."])
        yield draw.form("story search", [f"{s.hero} looked everywhere and grew sad.",
                                         f"{s.hero} searched the whole house.",
                                         f"{s.hero} sat down and cried.",
                                         f"\"Where is my {s.thing}?\" asked {s.hero}."])
        yield draw.form("story go", [f"So {s.hero} went to the {s.place}.",
                                     f"Then {s.hero} walked to the {s.place}.",
                                     f"{s.hero} ran all the way to the {s.place}."])
        yield draw.form("story meet", [f"There {s.hero} met {s.friend} the {s.friend_kind}.",
                                       f"At the {s.place} sat {s.friend} the {s.friend_kind}.",
                                       f"{s.friend} the {s.friend_kind} was already there.",
                                       f"On the way came {s.friend} the {s.friend_kind}."])
        if draw.chance(0.6):
            yield draw.form("story talk",
                            [f"\"Why are you sad?\" asked {s.friend}. \"I have lost my {s.thing},\" said {s.hero}.", f"\"Can you help me?\" asked {s.hero}. \"Of course,\" said {s.friend}.",
                                           f"\"Have you seen {a(s.colour)} {s.thing}?\" asked {s.hero}. \"Let us look together,\" said {s.friend}."])
        yield draw.form("story found",
                        [f"They looked together, and {s.friend} found the {s.thing} {s.found}.",
                         f"{s.friend} helped, and soon they found the {s.thing} {s.found}.",
                                        f"After a while {s.friend} saw the {s.thing} {s.found}.",
                         f"And there it was: the {s.colour} {s.thing} lay {s.found}."])
        yield draw.form("story thanks", [f"\"Thank you, {s.friend}!\" said {s.hero}.",
                                         f"{s.hero} laughed and thanked {s.friend}.",
                                         f"{s.hero} was happy again.", f"How glad {s.hero} was!"])
        if draw.chance(0.6):
            yield draw.form("story gift", [f"{s.hero} gave {s.friend} {s.gift}.",
                                           f"They went home and had {s.gift}.",
                                           f"That evening they shared {s.gift}."])
        yield draw.form("story end", [f"From that day on {s.hero} and {s.friend} were friends.",
                                      f"And {s.hero} never lost the {s.thing} again.",
                                      "Then they went home, and all was well.",
                                      f"Since then {s.hero} and {s.friend} meet at the {s.place} every day.", f"{capital(s.hero)} and {s.friend} still tell this story."])


def plain(draw):
    """A story as plain text, sometimes with a title."""
    story = Story(draw)
    text = " ".join(story.sentences(draw))
    return f"{story.hero} and the {story.thing}\n\n{text}" if draw.chance(0.2) else text


def tell(draw):
    story = Story(draw)
    question = draw.form("tell", ["Tell me a story.", "Tell me a short story.", "Write a story.",
                                  "Write a short story about {k}.", "Tell me a story about {k}.",
                                  "Tell me a story about {k} called {n}.",
                                  "Tell me a story about {n}.", "Write a story about {n} and {t}.",
                                  "Can you tell me a story about {t}?",
                                  "I would like to hear a story.",
                                  "A story about {n} and {f}, please.",
                                  "Make up a story about {k}.",
                                  "Please tell me a story about {n} the {K}.",
                                  "Once more: a story about {k} and {t}."])
    return question.format(k=a(story.kind), K=story.kind, n=story.hero, t=a(story.thing),
                           f=story.friend), " ".join(story.sentences(draw))


_QUESTIONS = [
    (["Who lost the {t}?", "Who looked for the {t}?", "Whose {t} was it?"], "{n} lost the {t}."),
    (["What did {n} lose?", "What was {n} looking for?", "Which thing did {n} lose?",
      "What had {n} lost?"], "{n} lost the {t}."),
    (["Where was the {t}?", "Where did they find the {t}?", "Where was the {t} found?",
      "Where did the {t} lie?"], "The {t} was {w}."),
    (["What colour was the {t}?", "Which colour had the {t}?", "What colour did the {t} have?"],
     "The {t} was {c}."),
    (["Who is {f}?", "Who was {f}?", "What was {f}?"], "{f} was {F}."),
    (["Who is {n}?", "Who was {n}?", "What was {n}?"], "{n} was {N}."),
    (["Where did {n} go?", "Where did {n} meet {f}?", "To which place did {n} go?"],
     "{n} went to the {p}."),
    (["Who helped {n}?", "Who found the {t}?", "Whom did {n} meet?"], "It was {f} the {k}."),
    (["Where did {n} live?", "Where was the home of {n}?"], "{n} lived near the {h}."),
]


def _ask_about(draw, story, text):
    while True:
        forms, answer = draw.one_of(_QUESTIONS)
        if "{c}" not in answer or story.colour in text:
            break
    fill = {"t": story.thing, "n": story.hero, "w": story.found, "c": story.colour,
            "f": story.friend, "F": a(story.friend_kind), "N": f"{a(story.trait)} {story.kind}",
            "p": story.place, "k": story.friend_kind, "h": story.home}
    return draw.one_of(forms).format(**fill), answer.format(**fill)


def tell_and_ask(draw):
    """A story told on request, then one to three questions about it."""
    story = Story(draw)
    text = " ".join(story.sentences(draw))
    turns = [(draw.one_of(["Tell me a story.", f"Tell me a story about {story.hero}.",
                           f"Tell me a story about {a(story.kind)}.", "Tell me a short story."]),
              text)]
    return turns + [_ask_about(draw, story, text) for _ in range(draw.number(1, 3))]


def read_and_ask(draw):
    """A few sentences from the user, a question about them."""
    name, other = draw.slots("name", NAMES, 2)
    thing, other_thing = draw.slots("thing", OBJECTS, 2)
    colour, other_colour = draw.slots("colour", COLOURS, 2)
    place, other_place = draw.slots("place", PLACES, 2)
    kind = draw.number(0, 4)
    if kind == 0:
        text, questions = f"{name} has {a(colour)} {thing}. {other} has {a(other_colour)} {other_thing}.", [
            (f"Who has the {thing}?", f"{name} has the {thing}."), (f"Who has the {other_thing}?",
                f"{other} has the {other_thing}."),
            (f"What colour is the {thing}?", f"The {thing} is {colour}."),
            (f"What colour is the {other_thing}?", f"The {other_thing} is {other_colour}."),
            (f"What does {other} have?", f"{other} has {a(other_colour)} {other_thing}."),
            (f"What does {name} have?", f"{name} has {a(colour)} {thing}.")]
    elif kind == 1:
        text, questions = f"{name} went to the {place}. {other} went to the {other_place}.", [
            (f"Where is {name}?", f"{name} is at the {place}."), (f"Where is {other}?",
                f"{other} is at the {other_place}."),
            (f"Who went to the {place}?", f"{name} went to the {place}."),
            (f"Who is at the {other_place}?", f"{other} is at the {other_place}.")]
    elif kind == 2:
        text, questions = f"{name} gave the {thing} to {other}.", [
            (f"Who has the {thing} now?", f"{other} has the {thing}."),
            (f"Who gave the {thing} away?", f"{name} gave the {thing} away."),
            (f"What did {other} get?", f"{other} got the {thing}."),
            (f"What did {name} give to {other}?", f"{name} gave the {thing} to {other}.")]
    elif kind == 3:
        job, other_job = draw.slots("job", JOBS, 2)
        text, questions = f"{name} is {a(job)} and {other} is {a(other_job)}.", [
            (f"Who is {a(job)}?", f"{name} is {a(job)}."), (f"Who is the {other_job}?",
                                                            f"{other} is the {other_job}."),
            (f"What is {name}?", f"{name} is {a(job)}."), (f"What does {other} work as?",
                                                           f"{other} is {a(other_job)}.")]
    else:
        text, questions = f"The {thing} is in the {place}. The {other_thing} is in the {other_place}.", [
            (f"Where is the {thing}?", f"The {thing} is in the {place}."),
            (f"Where is the {other_thing}?", f"The {other_thing} is in the {other_place}."),
            (f"What is in the {place}?", f"The {thing} is in the {place}."),
            (f"What is in the {other_place}?", f"The {other_thing} is in the {other_place}.")]
    question, answer = draw.one_of(questions)
    draw.values("read", kind, question)
    return draw.form("read", ["{t} {q}", "{t}\n{q}", "Read this: {t} {q}", "{q} {t}",
                              "Text: {t} Question: {q}"]).format(t=text, q=question), answer


FAMILY = [(tell, 3), (read_and_ask, 6)]
