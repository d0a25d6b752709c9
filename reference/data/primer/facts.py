"""What the small world knows: tables of facts, written for this project. Phrasings are in phrasings.py."""

from __future__ import annotations


def _pairs(text: str) -> dict[str, str]:
    return dict(item.strip().rsplit(" ", 1) for item in text.replace("\n", " ").split(","))


CAPITALS = _pairs("""
    France Paris, Italy Rome, Spain Madrid, Germany Berlin, Portugal Lisbon, Greece Athens, Norway Oslo,
    Sweden Stockholm, Finland Helsinki, Denmark Copenhagen, Poland Warsaw, Austria Vienna, Hungary Budapest,
    Ireland Dublin, Iceland Reykjavik, England London, Belgium Brussels, Russia Moscow, Ukraine Kyiv, Turkey Ankara,
    Egypt Cairo, Kenya Nairobi, Ghana Accra, Morocco Rabat, Ethiopia Addis, Japan Tokyo, China Beijing, India Delhi,
    Thailand Bangkok, Vietnam Hanoi, Nepal Kathmandu, Iran Tehran, Iraq Baghdad, Canada Ottawa, Cuba Havana,
    Peru Lima, Chile Santiago, Brazil Brasilia, Ecuador Quito, Bolivia Sucre, Australia Canberra, Jamaica Kingston,
    Croatia Zagreb, Serbia Belgrade, Latvia Riga, Estonia Tallinn, Romania Bucharest, Bulgaria Sofia
""")
CAPITALS["Ethiopia"] = "Addis Ababa"
CAPITALS["India"] = "New Delhi"

COLORS = _pairs("""
    the sky blue, grass green, snow white, coal black, a lemon yellow, a tomato red, a carrot orange, a plum purple,
    a banana yellow, a cherry red, a frog green, a crow black, milk white, blood red, a pumpkin orange, the sea blue,
    chocolate brown, an elephant gray, a mouse gray, a flamingo pink, a pig pink, a strawberry red, a lime green,
    a cucumber green, a swan white, a polar bear white, a fire engine red, a school bus yellow, a sunflower yellow,
    a violet purple, lavender purple, a brick red, a leaf green, a pea green, salt white, sugar white, a raven black,
    a panther black, tar black, mud brown, a bear brown, a walnut brown, a tree trunk brown, ash gray, a rain cloud gray,
    a sapphire blue, an emerald green, a ruby red, a blueberry blue, a tangerine orange, a salmon pink, a daffodil yellow
""")

OPPOSITES = _pairs("""
    hot cold, big small, tall short, fast slow, old young, happy sad, light dark, day night, up down, left right,
    open closed, full empty, hard soft, wet dry, clean dirty, rich poor, strong weak, loud quiet, early late, near far,
    high low, thick thin, wide narrow, heavy weightless, sweet sour, rough smooth, brave cowardly, true false, first last,
    begin end, push pull, buy sell, win lose, give take, love hate, laugh cry, ask answer, remember forget, arrive leave,
    inside outside, above below, before after, north south, east west, summer winter, friend enemy, question reply,
    alive dead, sharp blunt, deep shallow, safe dangerous, simple complicated, cheap expensive, awake asleep
""")

# animal: its young, its sound, its home, how many legs
ANIMALS: dict[str, tuple[str, str, str, int]] = {
    "dog": ("puppy", "barks", "kennel", 4),
    "cat": ("kitten", "meows", "basket", 4),
    "cow": ("calf", "moos", "barn", 4),
    "horse": ("foal", "neighs", "stable", 4),
    "sheep": ("lamb", "bleats", "fold", 4),
    "pig": ("piglet", "grunts", "sty", 4),
    "goat": ("kid", "bleats", "shed", 4),
    "hen": ("chick", "clucks", "coop", 2),
    "duck": ("duckling", "quacks", "pond", 2),
    "goose": ("gosling", "honks", "lake", 2),
    "lion": ("cub", "roars", "savanna", 4),
    "wolf": ("pup", "howls", "forest", 4),
    "bear": ("cub", "growls", "cave", 4),
    "frog": ("tadpole", "croaks", "pond", 4),
    "owl": ("owlet", "hoots", "barn", 2),
    "eagle": ("eaglet", "screams", "nest", 2),
    "bee": ("larva", "buzzes", "hive", 6),
    "ant": ("larva", "is silent", "hill", 6),
    "spider": ("spiderling", "is silent", "web", 8),
    "mouse": ("pup", "squeaks", "hole", 4),
    "rabbit": ("kit", "thumps", "burrow", 4),
    "fox": ("cub", "yelps", "den", 4),
    "deer": ("fawn", "grunts", "forest", 4),
    "donkey": ("foal", "brays", "stable", 4),
    "swan": ("cygnet", "hisses", "lake", 2),
    "elephant": ("calf", "trumpets", "savanna", 4),
    "monkey": ("infant", "chatters", "jungle", 2),
    "snake": ("hatchling", "hisses", "grass", 0),
}

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()

_ONES = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen
""".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_word(n: int) -> str:
    """0 .. 99 in words: 42 is forty-two."""
    if n < 20:
        return _ONES[n]
    return _TENS[n // 10 - 2] + (f"-{_ONES[n % 10]}" if n % 10 else "")


NUMBER_WORDS = tuple(number_word(n) for n in range(100))

NAMES = """
    Tom Anna Ben Lily Sam Mia Jack Emma Leo Zoe Max Ella Noah Ruby Finn Clara Hugo Nina Oscar Rosa Paul Sara Adam
    Julia Simon Vera Peter Laura David Alice Omar Leila Ravi Priya Ken Yuki Ivan Olga Carlos Elena
""".split()

# Word problems of training never use these names; those of evaluation use no others.
HELD_OUT_NAMES = ("Leo", "Ruby", "Hugo", "Nina", "Ravi", "Yuki", "Olga", "Carlos")

THINGS = """
    apples pears books coins cards shells stones stamps pencils marbles cookies eggs oranges flowers buttons
    stickers balloons candles beads nuts toys plums cups keys tickets ribbons peaches crayons feathers muffins
""".split()

# Words that appear in text and are never spelled, words that are spelled only in base text, and words that are
# spelled in chats: cut from this list in words.py.
SPELLING = """
    apple bread chair table house river stone cloud green horse mouse snake tiger zebra lemon melon grape peach
    berry sugar honey spoon plate knife glass water juice cream pizza pasta salad onion bacon toast flour spice
    cup bowl pan pot fork desk lamp door floor wall roof room bed sofa clock phone radio piano violin drum flute
    guitar music song dance story poem paper pencil book page word letter number shape circle square line dot
    point star moon sun earth sky rain snow wind storm thunder ice fire smoke ash sand mud grass tree leaf root
    seed fruit plant rose tulip daisy garden forest field farm barn fence gate road path bridge tunnel train truck
    bus car boat ship plane wheel engine motor map flag coin bank shop store market money price gift box bag
    basket bottle candle match rope string thread needle cloth shirt skirt dress coat hat glove scarf sock shoe
    boot belt ring crown king queen prince knight castle tower sword shield arrow bow dragon giant wizard witch
    magic dream sleep night morning evening noon week month year spring summer autumn winter baby child mother
    father sister brother uncle aunt cousin friend teacher doctor nurse farmer baker driver sailor soldier painter
    singer dancer writer reader hand foot head face nose mouth ear eye hair arm leg knee toe finger heart bone
    skin tooth tongue brain blood ocean island beach wave shell whale shark crab fish turtle eagle robin parrot
    pigeon sparrow swan goose duck chicken turkey sheep goat camel donkey monkey rabbit squirrel hammer nail saw
    drill ladder paint brush soap towel mirror comb razor camera film screen button switch pocket wallet ticket
    window curtain carpet pillow blanket kitchen oven stove fridge kettle teapot saucer napkin ladle whistle
    trumpet
""".split()
SPELLING = sorted(set(SPELLING))
