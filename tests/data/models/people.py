"""The users that tests/models/people.rs makes, made the same way: whole numbers, and sums, products and quotients of doubles."""

import hashlib

WHOLE = 2**64
COLUMNS = ["visits_per_week", "average_basket", "days_since_visit", "plan", "mobile"]
PLANS = {"free": 0.0, "basic": 1.0, "pro": 2.0}


class Dice:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % WHOLE
        mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % WHOLE
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % WHOLE
        return mixed ^ (mixed >> 31)

    def unit(self):
        return (self.next() >> 11) / 9007199254740992.0

    def bell(self):
        return self.unit() + self.unit() + self.unit() + self.unit() - 2.0

    def lacks(self):
        return self.unit() < 0.05


def person(number):
    """A user's attributes as numbers, None where there is none, and whether the user left."""
    dice = Dice(number)
    draw = dice.unit()
    group = 0 if draw < 0.4 else 1 if draw < 0.7 else 2 if draw < 0.9 else 3
    visits = [2.0, 10.0, 25.0, 40.0][group] + 2.0 * dice.bell()
    basket = [20.0, 80.0, 45.0, 150.0][group] + 9.0 * dice.bell()
    days = [40.0, 5.0, 12.0, 2.0][group] + 3.0 * dice.bell()
    plan = ["free", "basic", "pro"][dice.next() % 3]
    mobile = dice.next() % 2 == 1
    score = 0.05 * days - 0.06 * visits + (0.8 if plan == "free" else 0.0) - (0.5 if mobile else 0.0) + dice.bell()
    left = dice.unit() < 0.5 + 0.5 * score / (1.0 + abs(score))
    row = [visits, basket, days, PLANS[plan], 1.0 if mobile else 0.0]
    return [None if dice.lacks() else value for value in row], left


def place(seed, user_id):
    """Where a user stands in the order in which rows are drawn and held back."""
    return hashlib.md5(seed.to_bytes(8, "little") + user_id.encode()).digest()
