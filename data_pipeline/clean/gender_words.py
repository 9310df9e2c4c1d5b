"""English words of one gender and their counterparts: what `Bias` counts and swaps by default."""

from __future__ import annotations

# Male, female; swapped both ways. Of several pairs that hold a word the first says what becomes of it: `dad` becomes
# `mom`, and `mum` becomes `dad`. What begins with a capital is found with one alone: `20 ms.` is no lady. `Ms` without
# a dot is left out, as it is mostly Microsoft or a manuscript.
PAIRS: tuple[tuple[str, str], ...] = (
    *(("he", "she"), ("him", "her"), ("his", "hers"), ("himself", "herself")),
    *(("man", "woman"), ("men", "women"), ("boy", "girl"), ("boys", "girls"), ("male", "female"), ("males", "females")),
    *(("gentleman", "lady"), ("gentlemen", "ladies"), ("sir", "madam"), ("sir", "ma'am")),
    *(("Mr.", "Ms."), ("Mr.", "Mrs."), ("Mr", "Mrs")),
    *(("father", "mother"), ("fathers", "mothers"), ("dad", "mom"), ("dads", "moms"), ("dad", "mum"), ("dads", "mums")),
    *(("daddy", "mommy"), ("daddy", "mummy"), ("son", "daughter"), ("sons", "daughters")),
    *(("brother", "sister"), ("brothers", "sisters"), ("uncle", "aunt"), ("uncles", "aunts")),
    *(("nephew", "niece"), ("nephews", "nieces"), ("grandfather", "grandmother"), ("grandfathers", "grandmothers")),
    *(("grandpa", "grandma"), ("grandson", "granddaughter"), ("grandsons", "granddaughters")),
    *(("stepfather", "stepmother"), ("stepson", "stepdaughter"), ("godfather", "godmother"), ("godson", "goddaughter")),
    *(("husband", "wife"), ("husbands", "wives"), ("boyfriend", "girlfriend"), ("boyfriends", "girlfriends")),
    *(("bridegroom", "bride"), ("bridegrooms", "brides"), ("widower", "widow"), ("widowers", "widows")),
    *(("king", "queen"), ("kings", "queens"), ("prince", "princess"), ("princes", "princesses")),
    *(("duke", "duchess"), ("dukes", "duchesses"), ("emperor", "empress"), ("baron", "baroness"), ("monk", "nun")),
    *(("monks", "nuns"), ("hero", "heroine"), ("heroes", "heroines"), ("heir", "heiress"), ("heirs", "heiresses")),
    *(("actor", "actress"), ("actors", "actresses"), ("waiter", "waitress"), ("waiters", "waitresses")),
    *(("businessman", "businesswoman"), ("businessmen", "businesswomen"), ("chairman", "chairwoman")),
    *(("chairmen", "chairwomen"), ("congressman", "congresswoman"), ("congressmen", "congresswomen")),
    *(("policeman", "policewoman"), ("policemen", "policewomen"), ("salesman", "saleswoman")),
    *(
        ("spokesman", "spokeswoman"),
        ("spokesmen", "spokeswomen"),
        ("landlord", "landlady"),
        ("landlords", "landladies"),
    ),
    *(("schoolboy", "schoolgirl"), ("schoolboys", "schoolgirls"), ("manhood", "womanhood"), ("boyhood", "girlhood")),
    *(("fatherhood", "motherhood"), ("brotherhood", "sisterhood"), ("fatherly", "motherly"), ("paternal", "maternal")),
    *(("masculine", "feminine"), ("masculinity", "femininity")),
)

# What a word becomes before a noun, where it becomes another word than elsewhere: `her book` is `his book`, but of `saw
# her` it is `saw him`; `his book` is `her book`, but of `it is his` it is `it is hers`.
BEFORE_NOUN: dict[str, str] = {"her": "his", "his": "her"}

_NO_NOUN = """
a an the this that these those some any each every another other such both all i you he she it we they me him us them
my your our their its his her hers who whom whose which what and or but nor so yet if when while because although
though unless until since as than whether where why how at by for from in into of off on onto out over past through to
toward towards under up down upon with within without about above across after against along among around before
behind below beneath beside between beyond during inside like near am is are was were be been being do does did has
have had can could may might must shall should will would not never ever always often again away back here there then
now too also even just only once soon still today tomorrow yesterday together alone well instead later
"""
# Words that no noun phrase begins with behind `her` or `his`: before them both are pronouns.
NO_NOUN = frozenset(_NO_NOUN.split())
