"""The page kit: self-contained HTML pages for people who check a corpus or a run. Nothing is loaded."""

from foundation.page.charts import Bar as Bar
from foundation.page.charts import Line as Line
from foundation.page.curves import Clock as Clock
from foundation.page.curves import Curve as Curve
from foundation.page.curves import Mark as Mark
from foundation.page.curves import MarkKind as MarkKind
from foundation.page.explorer import Counted as Counted
from foundation.page.explorer import Drawn as Drawn
from foundation.page.explorer import Explorer as Explorer
from foundation.page.explorer import setting_of as setting_of
from foundation.page.heat_choice import HeatGroup as HeatGroup
from foundation.page.page import Link as Link
from foundation.page.page import Page as Page
from foundation.page.page import Pair as Pair
from foundation.page.page import Sample as Sample
from foundation.page.page import Shade as Shade
from foundation.page.page import Strong as Strong
from foundation.page.pieces import Cut as Cut
from foundation.page.pieces import CutText as CutText
from foundation.page.scale import number as number
from foundation.page.scatter import Cloud as Cloud
