"""examples/data/vowels.json: means and covariances of the formants of ten American vowels.

The measurements are those of Peterson & Barney (1952), https://doi.org/10.1121/1.1906875: 33 men, 28 women and 15 children
said ten words twice. Praat carries their table, and praat-parselmouth is Praat for Python. What is written are, for each
vowel and kind of speaker, the mean and the covariance (with n - 1) of log F0, log F1, log F2, log F3, F in Hz. The means in
Hz are checked against the averages that the paper prints (its table II).
"""

import numpy as np
import parselmouth
from parselmouth.praat import call

FORMANTS = ["F0", "F1", "F2", "F3"]
WORDS = {"iy": "heed", "ih": "hid", "eh": "head", "ae": "had", "aa": "hod"}
WORDS |= {"ao": "hawed", "uh": "hood", "uw": "who'd", "ah": "hud", "er": "heard"}
KINDS = {"m": "men", "w": "women", "c": "children"}
PAPER = {  # F0, F1, F2, F3 in Hz
    "men": [
        [136, 270, 2290, 3010], [135, 390, 1990, 2550], [130, 530, 1840, 2480], [127, 660, 1720, 2410],
        [124, 730, 1090, 2440], [129, 570, 840, 2410], [137, 440, 1020, 2240], [141, 300, 870, 2240],
        [130, 640, 1190, 2390], [133, 490, 1350, 1690],
    ],
    "women": [
        [235, 310, 2790, 3310], [232, 430, 2480, 3070], [223, 610, 2330, 2990], [210, 860, 2050, 2850],
        [212, 850, 1220, 2810], [216, 590, 920, 2710], [232, 470, 1160, 2680], [231, 370, 950, 2670],
        [221, 760, 1400, 2780], [218, 500, 1640, 1960],
    ],
    "children": [
        [272, 370, 3200, 3730], [269, 530, 2730, 3600], [260, 690, 2610, 3570], [251, 1010, 2320, 3320],
        [256, 1030, 1370, 3170], [263, 680, 1060, 3180], [276, 560, 1410, 3310], [274, 430, 1170, 3260],
        [261, 850, 1590, 3360], [261, 560, 1820, 2160],
    ],
}  # fmt: skip


def vowels():
    table = call("Create formant table (Peterson & Barney 1952)")
    rows = range(1, call(table, "Get number of rows") + 1)
    value = lambda row, column: call(table, "Get value", row, column)
    groups, worst = {kind: [] for kind in KINDS.values()}, 0
    for letter, kind in KINDS.items():
        for i, vowel in enumerate(WORDS):
            chosen = [r for r in rows if value(r, "Type") == letter and value(r, "Vowel") == vowel]
            hertz = np.array([[float(value(r, f)) for f in FORMANTS] for r in chosen])
            worst = max(worst, *abs(hertz.mean(0) / PAPER[kind][i] - 1))
            logs = np.log(hertz)
            groups[kind].append({
                "count": len(chosen),
                "hertz": [round(x, 1) for x in hertz.mean(0).tolist()],
                "mean": [float(f"{x:.7g}") for x in logs.mean(0)],
                "covariance": [[float(f"{x:.7g}") for x in row] for row in np.cov(logs.T)],
            })  # fmt: skip
    assert worst < 0.03, worst
    return {
        "source": "https://doi.org/10.1121/1.1906875",
        "praat-parselmouth": parselmouth.VERSION,
        "formants": FORMANTS,
        "words": list(WORDS.values()),
        "largest_difference_from_table_II": float(f"{worst:.4f}"),
        "groups": groups,
    }
