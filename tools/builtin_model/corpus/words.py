"""What fills the slots of the templates."""

NAMES = """Ada Amir Anna Anton Asha Ben Bella Boris Bruno Carla Carlos Chloe Clara Dan Dara David
Diana Edgar Elena Ella Elias Emma Eric Eva Felix Finn Flora Frida Gina Grace Greta Hana Hugo Ida
Igor Ines Iris Ivan Jack Jana Jonas Julia Kai Karl Kate Kim Lara Lea Leo Lena Liam Lily Lina Lola
Lucas Lucy Luna Maria Marco Mara Max Maya Mia Milo Mina Mira Nadia Nina Nora Noah Olga Oliver Omar
Oscar Otto Paul Pia Peter Petra Quinn Rita Robin Rosa Ruth Sam Sara Simon Sofia Sven Tara Theo Tim
Tina Tom Uma Vera Victor Yara Yuki Zoe Alice Bob Amelia Henry John Mary James Linda Sarah Emily
George Helen""".split()

CITIES = """Paris London Berlin Rome Madrid Vienna Oslo Lisbon Prague Athens Dublin Helsinki
Warsaw Budapest Stockholm Copenhagen Brussels Amsterdam Zurich Geneva Milan Munich Hamburg Tokyo
Kyoto Seoul Delhi Mumbai Cairo Nairobi Lagos Sydney Toronto Boston Chicago Denver Seattle Lima
Quito Havana Istanbul Riga Turin Porto Lyon Bergen Cork Leeds Bristol Dallas Austin""".split()

COLOURS = "red blue green yellow orange purple pink brown black white grey silver golden turquoise".split()
PLAIN_COLOURS = "red blue green yellow orange purple pink brown black white grey".split()

ANIMALS = """dog cat horse cow sheep pig goat rabbit fox wolf bear lion tiger elephant monkey
mouse duck hen owl frog squirrel hedgehog otter beaver badger deer turtle parrot penguin dolphin
whale crow""".split()

FRUITS = "apple banana pear plum orange cherry grape lemon peach melon mango kiwi strawberry apricot".split()
VEGETABLES = "carrot potato onion tomato cabbage bean pea pepper cucumber pumpkin leek spinach".split()
FOODS = """bread cheese soup rice pasta salad cake honey jam butter porridge pancakes pie noodles
stew toast biscuits""".split()
DRINKS = "water tea coffee milk juice lemonade cocoa".split()
JOBS = """baker teacher farmer doctor nurse pilot sailor gardener painter carpenter cook driver
writer singer dancer tailor fisher miller potter builder engineer librarian""".split()
PLACES = """forest garden village harbour market library mountain meadow river lake beach castle
mill farm school bakery park island valley tower orchard workshop""".split()
OBJECTS = """key lamp book map coin ring kite basket ball boat bell box cup drum hat scarf
umbrella violin clock mirror pencil lantern shell button candle ladder blanket compass whistle
ribbon""".split()
ROOMS = "kitchen bedroom bathroom hall office garage cellar attic garden".split() + ["living room"]
INSTRUMENTS = "piano guitar violin flute drum trumpet cello harp".split()
SPORTS = "football tennis swimming running cycling chess rowing skiing climbing".split()
HOBBIES = "reading painting cooking gardening fishing singing dancing hiking knitting".split() + ["riding a bicycle"]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = """January February March April May June July August September October November December""".split()
SEASONS = "spring summer autumn winter".split()
PLANETS = "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split()
WEATHER = "sunny rainy windy cloudy foggy snowy warm cold".split()
MOODS = "happy sad tired bored angry nervous proud lonely excited hungry".split()
FURNITURE = "table chair bed shelf desk sofa cupboard lamp".split()
CLOTHES = "shirt coat hat scarf sock shoe glove jacket dress sweater".split()
SHAPES = "circle square triangle rectangle oval star".split()
TREES = "oak birch pine maple willow beech fir ash".split()
FLOWERS = "rose tulip daisy lily violet poppy sunflower iris".split()
TOOLS = "hammer saw drill spade rake wrench screwdriver axe".split()
BIRDS = "owl crow duck hen robin sparrow eagle swan".split()

SPELLED = """cat dog sun moon star tree book bread house river stone apple table chair green blue
water light night music paper happy horse mouse sheep cloud rain snow wind fire lamp door window
garden flower summer winter yellow purple orange school teacher pencil letter number seven eight
three hello world model server token kernel memory page worker request answer hearth""".split()

CATEGORIES = {
    "colours": PLAIN_COLOURS, "animals": ANIMALS, "fruits": FRUITS, "vegetables": VEGETABLES,
    "drinks": DRINKS, "jobs": JOBS, "cities": CITIES, "instruments": INSTRUMENTS, "sports": SPORTS,
    "planets": PLANETS, "trees": TREES, "flowers": FLOWERS, "tools": TOOLS, "birds": BIRDS,
    "pieces of furniture": FURNITURE, "clothes": CLOTHES, "shapes": SHAPES, "foods": FOODS,
    "hobbies": HOBBIES,
}

NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
                "ten",
                "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
                "eighteen", "nineteen", "twenty"]
_TENS = {2: "twenty", 3: "thirty", 4: "forty", 5: "fifty", 6: "sixty", 7: "seventy", 8: "eighty",
         9: "ninety"}


def number_word(value):
    """0 to 100 in words."""
    if value <= 20:
        return NUMBER_WORDS[value]
    if value == 100:
        return "one hundred"
    tens, ones = divmod(value, 10)
    return _TENS[tens] + ("-" + NUMBER_WORDS[ones] if ones else "")


def a(word):
    return ("an " if word[0].lower() in "aeio" else "a ") + word


def plural(noun):
    irregular = {"mouse": "mice", "sheep": "sheep", "fox": "foxes", "wolf": "wolves",
                 "box": "boxes",
                 "deer": "deer", "cherry": "cherries", "strawberry": "strawberries",
                 "shelf": "shelves",
                 "potato": "potatoes", "tomato": "tomatoes", "peach": "peaches", "mango": "mangoes",
                 "daisy": "daisies", "lily": "lilies", "poppy": "poppies", "scarf": "scarves",
                 "compass": "compasses", "torch": "torches"}
    return irregular.get(noun, noun + "s")


def join(items, word="and"):
    """a, b and c"""
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + f" {word} {items[-1]}"


def capital(text):
    return text[0].upper() + text[1:]
