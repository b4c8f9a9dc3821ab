"""Small facts about the world, lists, spelling: closed sets. Held out are combinations of a fact and
a wording."""
from .words import (ANIMALS, CATEGORIES, DAYS, MONTHS, NAMES, OBJECTS, PLANETS, SEASONS, SPELLED, a,
                    capital, join,
                    plural)

def _pairs(text):
    return dict(pair.split(":") for pair in text.split())


CAPITALS = _pairs("""France:Paris Germany:Berlin Italy:Rome Spain:Madrid Austria:Vienna
Norway:Oslo Portugal:Lisbon Greece:Athens Ireland:Dublin Finland:Helsinki Poland:Warsaw
Hungary:Budapest Sweden:Stockholm Denmark:Copenhagen Belgium:Brussels Japan:Tokyo Egypt:Cairo
Kenya:Nairobi Canada:Ottawa Peru:Lima Cuba:Havana Russia:Moscow China:Beijing India:Delhi
Turkey:Ankara Australia:Canberra Switzerland:Bern Latvia:Riga Iceland:Reykjavik England:London
Scotland:Edinburgh Ukraine:Kyiv""")
OPPOSITES = _pairs("""hot:cold big:small up:down left:right day:night black:white fast:slow
old:new happy:sad full:empty open:closed high:low long:short early:late hard:soft wet:dry
rich:poor near:far loud:quiet light:dark strong:weak thick:thin clean:dirty good:bad true:false
summer:winter north:south east:west heavy:light easy:difficult inside:outside young:old yes:no
first:last""")
SOUNDS = {"dog": "barks", "cat": "meows", "cow": "moos", "sheep": "bleats", "pig": "grunts",
          "horse": "neighs",
          "duck": "quacks", "hen": "clucks", "owl": "hoots", "lion": "roars", "frog": "croaks",
          "wolf": "howls",
          "mouse": "squeaks", "crow": "caws"}
BABIES = {"dog": "puppy", "cat": "kitten", "cow": "calf", "sheep": "lamb", "pig": "piglet",
          "horse": "foal",
          "duck": "duckling", "hen": "chick", "goat": "kid", "lion": "cub", "bear": "cub",
          "frog": "tadpole"}
COLOUR_OF = {"the sky": "blue", "grass": "green", "snow": "white", "a lemon": "yellow",
             "a tomato": "red",
             "coal": "black", "a carrot": "orange", "milk": "white", "a banana": "yellow",
             "the sun": "yellow",
             "a strawberry": "red", "an elephant": "grey", "blood": "red", "a leaf": "green",
             "chocolate": "brown",
             "a flamingo": "pink", "the sea": "blue", "a crow": "black", "a frog": "green"}
LEGS = {"a spider": 8, "a dog": 4, "a cat": 4, "a bird": 2, "an ant": 6, "a horse": 4, "a fish": 0,
        "a bee": 6,
        "a cow": 4, "a snake": 0, "a chicken": 2, "a person": 2, "a table": 4}
HOW_MANY = {"days are in a week": ("7", "A week has 7 days."), "months are in a year": ("12",
    "A year has 12 months."),
            "hours are in a day": ("24", "A day has 24 hours."), "minutes are in an hour": ("60",
                "An hour has 60 minutes."),
            "seconds are in a minute": ("60", "A minute has 60 seconds."),
            "seasons are there": ("4", "There are 4 seasons: spring, summer, autumn and winter."),
            "letters are in the alphabet": ("26", "The alphabet has 26 letters."),
            "sides has a triangle": ("3", "A triangle has 3 sides."),
            "sides has a square": ("4", "A square has 4 sides."), "days are in a year": ("365",
                "A year has 365 days."),
            "planets are there": ("8", "There are 8 planets in the solar system."),
            "wheels has a car": ("4", "A car has 4 wheels."),
            "fingers has a hand": ("5", "A hand has 5 fingers."), "wheels has a bicycle": ("2",
                "A bicycle has 2 wheels."),
            "pence are in a pound": ("100", "A pound has 100 pence."),
            "cents are in a euro": ("100", "A euro has 100 cents."),
            "grams are in a kilogram": ("1000", "A kilogram has 1000 grams."),
            "centimetres are in a metre": ("100", "A metre has 100 centimetres.")}
PAST = _pairs("""go:went see:saw eat:ate run:ran swim:swam write:wrote sing:sang come:came
take:took give:gave find:found bring:brought buy:bought think:thought make:made say:said fly:flew
drink:drank sleep:slept read:read know:knew begin:began build:built speak:spoke walk:walked
play:played jump:jumped open:opened""")
WHAT_IS = {
    "the sun": "The sun is a star. It gives the Earth light and warmth.",
           "the moon": "The moon is a ball of rock that travels around the Earth.",
    "rain": "Rain is water that falls from clouds.",
           "snow": "Snow is frozen water that falls from clouds in flakes.",
    "ice": "Ice is frozen water.", "a library": "A library is a place where people borrow books.",
    "a computer": "A computer is a machine that follows instructions and works with numbers.",
           "a river": "A river is water that flows over land to a lake or to the sea.",
    "bread": "Bread is a food that is baked from flour and water.",
           "a clock": "A clock is a thing that shows the time.",
    "a bicycle": "A bicycle is a vehicle with two wheels and pedals.",
           "a volcano": "A volcano is a mountain that throws out hot rock.",
    "a map": "A map is a drawing that shows where places are.",
           "honey": "Honey is a sweet food that bees make.",
           "a planet": "A planet is a large ball that travels around a star.",
    "a language model": "A language model is a program that has learnt from text which word comes next.",
    "a neural network": "A neural network is a program of many small sums whose numbers are learnt from examples.",
    "water": "Water is a clear liquid that everything alive needs.",
           "a poem": "A poem is a text that plays with sounds and pictures.",
    "a baker": "A baker makes bread and cakes.", "a teacher": "A teacher helps people learn.",
           "a doctor": "A doctor helps people who are ill.",
    "a tree": "A tree is a tall plant with a trunk of wood.",
           "a mountain": "A mountain is a very high hill of rock.",
           "a cat": "A cat is a small animal with soft fur that likes to hunt mice.",
    "a dog": "A dog is an animal that lives with people and barks.",
           "music": "Music is sound made to be listened to.",
           "a number": "A number tells how many of something there are.",
    "a lighthouse": "A lighthouse is a tower with a lamp that shows ships the way.",
           "a week": "A week is seven days long, from Monday to Sunday."}


def _ask(draw, kind, fact, forms, **fill):
    """A wording for a fact. Training text lacks a few combinations, never a fact or a wording."""
    index = draw.number(0, len(forms) - 1)
    draw.values(kind, fact, index)
    return forms[index].format(**fill)


def capital_of(draw):
    country = draw.one_of(list(CAPITALS))
    if draw.chance(0.2):
        city = CAPITALS[country]
        return _ask(draw, "capital back", country, ["{c} is the capital of which country?",
                                                    "Of which country is {c} the capital?",
                                                    "Which country has the capital {c}?"],
                    c=city), f"{city} is the capital of {country}."
    text = _ask(draw, "capital", country, ["What is the capital of {c}?",
                                           "Which city is the capital of {c}?", "capital of {c}",
                                           "Tell me the capital of {c}.",
                                           "Name the capital of {c}.", "What's the capital of {c}?",
                                           "Do you know the capital of {c}?"], c=country)
    return text, f"The capital of {country} is {CAPITALS[country]}."


def opposite(draw):
    word = draw.one_of(list(OPPOSITES))
    text = _ask(draw, "opposite", word, ["What is the opposite of {w}?", "opposite of {w}",
                                         "Tell me the opposite of {w}.",
                                         "Give me the opposite of {w}.",
                                         "What's the opposite of {w}?",
                                         "Which word is the opposite of {w}?"], w=word)
    return text, f"The opposite of {word} is {OPPOSITES[word]}."


def animal_fact(draw):
    if draw.chance(0.5):
        animal = draw.one_of(list(SOUNDS))
        text = _ask(draw, "sound", animal, ["What does {x} do to make a sound?",
                                            "What sound does {x} make?",
                                            "Which sound does {x} make?",
                                            "How does {x} sound?", "Tell me what sound {x} makes."],
                    x=a(animal))
        return text, f"{capital(a(animal))} {SOUNDS[animal]}."
    animal = draw.one_of(list(BABIES))
    text = _ask(draw, "baby", animal, ["What is a baby {x} called?", "What do you call a baby {x}?",
                                       "What is a young {x} called?",
                                       "How is a young {x} called?",
                                       "What's the name for a baby {x}?"], x=animal)
    return text, f"A baby {animal} is called {a(BABIES[animal])}."


def colour_of(draw):
    thing = draw.one_of(list(COLOUR_OF))
    text = _ask(draw, "colour of", thing, ["What colour is {t}?", "Which colour is {t}?",
                                           "Tell me the colour of {t}.",
                                           "What colour does {t} have?",
                                           "What is the colour of {t}?", "What color is {t}?"],
                t=thing)
    return text, f"{capital(thing)} is {COLOUR_OF[thing]}."


def how_many(draw):
    if draw.chance(0.4):
        animal = draw.one_of(list(LEGS))
        text = _ask(draw, "legs", animal, ["How many legs does {x} have?", "How many legs has {x}?",
                                           "What number of legs does {x} have?",
                                           "Tell me how many legs {x} has."], x=animal)
        return text, f"{capital(animal)} has {LEGS[animal] or 'no'} legs."
    thing = draw.one_of(list(HOW_MANY))
    text = _ask(draw, "how many", thing, ["How many {t}?", "Do you know how many {t}?",
                                          "Tell me how many {t}.", "Can you tell me how many {t}?"],
                t=thing)
    return text, HOW_MANY[thing][1]


def calendar(draw):
    kind, names = draw.one_of([("day", DAYS), ("month", MONTHS), ("season", SEASONS)])
    if draw.chance(0.25):
        text = _ask(draw, "calendar list", kind, ["Name all {k}s.", "What are the {k}s?",
                                                  "List the {k}s{of}.", "Tell me the {k}s{of}.",
                                                  "Which {k}s are there{of}?",
                                                  "Can you list all {k}s?"], k=kind,
                    of={"day": " of the week", "month": " of the year",
                        "season": " of the year"}[kind])
        return text, f"The {kind}s are {join(names)}."
    index = draw.number(0, len(names) - 1)
    where, step = draw.one_of([("after", 1), ("before", -1)])
    text = _ask(draw, "calendar", f"{names[index]} {where}", ["What {k} comes {w} {n}?",
        "Which {k} is {w} {n}?", "What comes {w} {n}?",
                                                             "Which {k} comes {w} {n}?",
        "Tell me the {k} {w} {n}."], k=kind, w=where, n=names[index])
    return text, f"{capital(names[(index + step) % len(names)])} comes {where} {names[index]}."


def past_tense(draw):
    verb = draw.one_of(list(PAST))
    text = _ask(draw, "past", verb, ["What is the past tense of {v}?", "Past tense of {v}?",
                                     "Put {v} in the past tense.", "What is the past of {v}?",
                                     "Give me the past tense of {v}."], v=verb)
    return text, f"The past tense of {verb} is {PAST[verb]}."


def make_plural(draw):
    noun = draw.one_of(ANIMALS + OBJECTS)
    text = _ask(draw, "plural", noun, ["What is the plural of {n}?", "Plural of {n}?",
                                       "Give me the plural of {n}.", "One {n}, two ...?",
                                       "How do you write more than one {n}?"], n=noun)
    return text, f"The plural of {noun} is {plural(noun)}."


def spell(draw):
    word = draw.one_of(SPELLED)
    if draw.chance(0.3):
        text = _ask(draw, "letters", word, ["How many letters does {w} have?",
                                            "How many letters are in {w}?",
                                            "Count the letters of {w}.",
                                            "How many letters has the word {w}?"], w=word)
        return text, f"{'-'.join(word)}: {word} has {len(word)} letters."
    text = _ask(draw, "spell", word, ["Spell {w}.", "How do you spell {w}?", "Spell the word {w}.",
                                      "Can you spell {w}?", "How is {w} spelled?",
                                      "Please spell the word {w}."], w=word)
    return text, "-".join(word) + "."


def what_is(draw):
    thing = draw.one_of(list(WHAT_IS))
    text = _ask(draw, "what is", thing, ["What is {t}?", "What's {t}?", "Explain what {t} is.",
                                         "Tell me what {t} is.", "Do you know what {t} is?",
                                         "Can you explain what {t} is?"], t=thing)
    return text, WHAT_IS[thing]


_LIST = ["Name {n} {c}.", "List {n} {c}.", "Give me {n} {c}.", "Tell me {n} {c}.",
         "Can you name {n} {c}?", "Write down {n} {c}.",
         "Please name {n} {c}.", "I need {n} {c}.", "Which {n} {c} come to your mind?"]


def name_some(draw):
    """Members are listed in the set's own order, from the start: an answer can be right or wrong."""
    category = draw.one_of(list(CATEGORIES))
    count = draw.number(2, 7)
    index = draw.number(0, len(_LIST) - 1)
    draw.values("list", category, count, index)
    word = ["", "", "two", "three", "four", "five", "six", "seven"][count]
    members = [m for m in CATEGORIES[category]][:count]
    text = _LIST[index].format(n=word if draw.chance(0.7) else count, c=category)
    if draw.chance(0.25):
        return text + " One per line.", "\n".join(f"{i + 1}. {m}" for i, m in enumerate(members))
    return text, f"{capital(join(members))}."


def is_a(draw):
    category = draw.one_of([c for c in CATEGORIES if c not in ("hobbies", "foods")])
    single = {"pieces of furniture": "piece of furniture", "clothes": "piece of clothing",
              "cities": "city"}.get(category, category[:-1])
    yes = draw.chance(0.5)
    members = set(CATEGORIES[category])
    source = category if yes else draw.one_of([c for c in CATEGORIES if members.isdisjoint(CATEGORIES[c])])
    thing = draw.one_of(CATEGORIES[source])
    draw.values("is a", thing, category)
    if source == "birds" and category == "animals":
        yes = True
    text = draw.form("is a", ["Is {t} {s}?", "Tell me: is {t} {s}?",
                              "Would you say that {t} is {s}?", "Do you think {t} is {s}?",
                              "Is it true that {t} is {s}?"])
    named = thing if source in ("cities", "planets", "sports", "hobbies", "colours", "drinks",
                                "foods") else a(thing)
    answer = f"{'Yes' if yes else 'No'}, {named} is {'' if yes else 'not '}{a(single)}."
    return text.format(t=named, s=a(single)), answer


def repeat(draw):
    if draw.chance(0.5):
        word = draw.slot("echo", SPELLED + OBJECTS + ANIMALS)
        times = draw.number(2, 5)
        text = draw.form("times", ["Say {w} {n} times.", "Write {w} {n} times.",
                                   "Repeat the word {w} {n} times.",
                                   "Write the word {w} {n} times.", "Please say {w} {n} times."])
        return text.format(w=word, n=["", "", "two", "three", "four",
                                      "five"][times]), " ".join([word] * times)
    words = " ".join(draw.slots("echo", SPELLED + OBJECTS + ANIMALS + [n.lower() for n in NAMES],
                                draw.number(2, 5)))
    text = draw.form("after me", ["Repeat after me: {w}", "Say exactly this: {w}",
                                  "Repeat this: {w}", "Copy this text: {w}", "Echo: {w}"])
    return text.format(w=words), words


def compare_planets(draw):
    text = _ask(draw, "planets", "all", ["Name all planets.", "List the planets.",
                                         "What are the planets of the solar system?",
                                         "Which planets are there?",
                                         "Tell me the planets.", "Can you list the planets?"])
    return text, f"The planets are {join(PLANETS)}."


FAMILY = [(capital_of, 4), (opposite, 3), (animal_fact, 2), (colour_of, 2), (how_many, 2),
          (calendar, 3), (past_tense, 1.5), (make_plural, 1.5),
          (spell, 2.5), (what_is, 3), (name_some, 6), (is_a, 2), (repeat, 3), (compare_planets,
              0.3)]
