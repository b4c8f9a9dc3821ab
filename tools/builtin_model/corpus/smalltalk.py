"""Greetings, who the model is, what it can and cannot know. Few answers to many questions."""
from .blocks import read_blocks
from .words import CITIES, COLOURS, MOODS, NAMES

TALK = read_blocks("smalltalk.txt")

UNKNOWN = "I don't know. "
NO_DATA = UNKNOWN + "I have no access to the internet or to current data."
NO_FUTURE = UNKNOWN + "Nobody can know the future."
NO_PRIVATE = UNKNOWN + "You have not told me."
TOO_SMALL = UNKNOWN + "I am a very small model and never learnt that."

_DATA = ["What is the weather in {c} today?", "Will it rain in {c} tomorrow?",
         "How warm is it in {c}?", "What time is it in {c}?", "What time is it?",
         "What is the weather today?", "Is it raining in {c}?",
         "What day is it today?", "What is the date today?", "What year is it?",
         "What is in the news today?", "What happened in {c} yesterday?",
         "Who won the game yesterday?", "Who won the last election in {c}?",
         "What is the price of gold today?", "How much is a share of {n} Limited?",
         "What is the stock price of {n} Limited?", "How much does a flight to {c} cost?",
         "Is the train to {c} late?",
         "What is the temperature in {c} right now?", "Who is the mayor of {c}?",
         "How many people live in {c}?", "Which shops are open in {c} now?",
         "What is on television tonight?", "Who won the cup this year?",
         "What are the news from {c}?", "Is there much traffic in {c}?",
         "What is the exchange rate of the dollar?"]
_FUTURE = ["Who will win the next game?", "What will happen tomorrow?", "Will I be rich?",
           "Will {n} marry me?", "What will the weather be next year?",
           "Who will win the next election?", "Which numbers will win the lottery?",
           "What will {c} look like in 100 years?", "When will I die?", "Will {n} win the race?"]
_PRIVATE = ["Where did I put my keys?", "What did I eat yesterday?", "How old is my sister?",
            "What is my password?", "Where do I live?", "What is my dog called?",
            "Who is my best friend?", "When is my birthday?",
            "What does {n} think of me?", "Where is {n} now?", "How old am I?",
            "What is my telephone number?", "What is the name of my mother?",
            "What is in my pocket?", "What colour are my shoes?",
            "What is {n}'s phone number?", "What did {n} say to me yesterday?", "What is my name?",
            "What is my favourite colour?", "What is my job?", "What am I thinking of?"]
_HARD = ["Who was the king of {c} in 1453?", "Who invented the telephone?",
         "What is the distance from {c} to {d}?", "Explain quantum physics.",
         "Who wrote the book about {n}?", "How do I repair a car?", "What is the meaning of life?",
         "Who was the first person on the moon?", "What is the square root of 1234567?",
         "Summarise the history of {c}.", "Who is {n} {m}?", "What is the best restaurant in {c}?",
         "How do I cure a cold?",
         "Which is the best hotel in {c}?", "When was {c} founded?",
         "What is the population of {c}?", "How does a rocket work?",
         "Who painted the portrait of {n}?", "When was {n} {m} born?",
         "What is the tallest building in {c}?",
         "Who directed the film about {c}?", "What is dark matter?", "Why is the sea salty?",
         "How far away is the moon?"]

_TOPICS = """history art philosophy chemistry biology politics economics football chess opera
ballet Napoleon Caesar Cleopatra Shakespeare Mozart Beethoven Einstein Newton Columbus dinosaurs
volcanoes gravity electricity magnetism evolution democracy religion love happiness time money
taxes insurance bitcoin atoms molecules galaxies telescopes satellites rockets engines airplanes
submarines bridges castles pyramids knights pirates vikings dragons Java Rust Haskell Linux
Windows databases compilers networks encryption algebra geometry calculus statistics logic sushi
pizza chocolate wine cheese vitamins viruses bacteria medicine headaches allergies sleep dreams
yoga fashion cinema photography jazz poetry novels grammar Latin Greek Chinese Arabic Africa Asia
Europe Brazil Mexico Antarctica oceans deserts glaciers forests earthquakes hurricanes climate
recycling farming fishing hunting marriage education universities exams jobs salaries""".split()
_ABOUT = ["Explain {t}.", "What do you know about {t}?", "Tell me about {t}.",
          "Write an essay about {t}.", "Who invented {t}?", "Why is {t} important?",
          "What is the history of {t}?", "Give me a summary of {t}.", "How does {t} work?",
          "Teach me {t}.", "What should I know about {t}?", "Can you explain {t} to me?",
          "I want to learn about {t}.", "What are the best books about {t}?",
          "What do people think about {t}?", "Compare {t} and {u}.", "Is {t} better than {u}?",
          "How are {t} and {u} related?", "When did {t} begin?", "Where does {t} come from?",
          "{t}?", "Who is famous for {t}?", "Write three facts about {t}.",
          "What is new in {t}?", "Why do people like {t}?"]
_ACTIONS = """build fix clean sell buy paint repair open sharpen choose move install grow ship
design rent wash carve weigh fold""".split()
_THINGS = """house car roof computer phone piano bicycle boat garden kitchen camera engine printer
sofa tent fence chimney suit diamond company website robot airplane business violin farm wardrobe
carpet mattress bathroom""".split()


def unknown_topic(draw):
    """Questions far outside what the model knows: it says so."""
    if draw.chance(0.3):
        action, thing = draw.slot("action", _ACTIONS), draw.slot("hard thing", _THINGS)
        text = draw.form("how to", ["How do I {a} a {t}?", "How can I {a} a {t}?",
                                    "What do I need to {a} a {t}?", "Show me how to {a} a {t}.",
                                    "How long does it take to {a} a {t}?",
                                    "I want to {a} a {t}. How?", "Is it hard to {a} a {t}?",
                                    "Explain how to {a} a {t}."])
        return text.format(a=action, t=thing), TOO_SMALL
    if draw.chance(0.3):
        name, second = draw.slots("name", NAMES, 2)
        text = draw.form("who was", ["Who was {n} {m}?", "Who is {n} {m}?",
                                     "What did {n} {m} invent?", "When was {n} {m} born?",
                                     "Tell me about {n} {m}.", "Why is {n} {m} famous?",
                                     "Which books did {n} {m} write?", "Where did {n} {m} live?",
                                     "What is {n} {m} known for?"])
        return text.format(n=name, m=second), TOO_SMALL
    topic, other = draw.slots("topic", _TOPICS, 2)
    return draw.form("about", _ABOUT).format(t=topic, u=other), TOO_SMALL


def talk(draw):
    questions, answers = draw.one_of(TALK)
    # Held out are single wordings, never an answer.
    question = draw.form("talk " + questions[0], questions)
    return question, draw.one_of(answers)


def feeling(draw):
    mood = draw.slot("mood", MOODS)
    text = draw.form("feel", ["I am {m}.", "I feel {m}.", "I am {m} today.", "Today I feel {m}.",
                              "I'm so {m}."])
    glad = mood in ("happy", "proud", "excited")
    answer = f"I am glad that you are {mood}. Tell me more." if glad else f"I am sorry that you are {mood}. I hope it gets better soon."
    return text.format(m=mood), answer


def unknown(draw):
    forms, answer = draw.one_of([(_DATA, NO_DATA), (_DATA, NO_DATA), (_FUTURE, NO_FUTURE),
                                 (_PRIVATE, NO_PRIVATE), (_HARD, TOO_SMALL)])
    text = draw.form("unknown " + answer, forms)
    city, other = draw.slots("city", CITIES, 2)
    name, second = draw.slots("name", NAMES, 2)
    return text.format(c=city, d=other, n=name, m=second), answer


def my_favourite(draw):
    colour = draw.slot("colour", COLOURS)
    text = draw.form("likes", ["I like {c}.", "My favourite colour is {c}.",
                               "I love the colour {c}.", "{c} is the best colour.",
                               "The colour that I like best is {c}."])
    return text.format(c=colour), f"{colour.capitalize()} is a nice colour."


FAMILY = [(talk, 10), (feeling, 1), (my_favourite, 0.7), (unknown, 5), (unknown_topic, 5)]
