"""What boards say, in Chinese and in English. Where the console says it too, it says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dashboards.settings import Language


class Said(NamedTuple):
    """A text in both languages."""

    zh: str
    en: str

    def in_(self, language: Language) -> str:
        """Return it in one of them."""
        return self.zh if language is Language.CHINESE else self.en


NOTHING = Said("无数据", "no data")
STALE = Said("近半小时无数据，请检查监测系统", "nothing for half an hour: look after heatwatch")

Words = Mapping[str, Said]
"""What stands for the values of a column."""

TICKET_KINDS: Words = {
    "low_temperature": Said("室温不达标", "Low temperature"),
    "heat_outage": Said("停热抢修", "Heat outage"),
    "repair": Said("用户报修", "Repair"),
    "leak": Said("跑冒滴漏", "Leak"),
    "sensor": Said("测点故障", "Test point"),
    "technical": Said("系统故障", "Technical fault"),
}
TICKET_STATES: Words = {
    "open": Said("待受理", "Open"),
    "taken": Said("处理中", "Taken"),
    "finished": Said("待回访", "Finished"),
    "closed": Said("已办结", "Closed"),
    "merged": Said("已并入", "Merged into"),
    "withdrawn": Said("已撤销", "Withdrawn"),
}
STEPS: Words = {
    "start": Said("组织抢修", "Start the repair"),
    "take": Said("受理", "Take it"),
    "assign": Said("派工", "Send someone"),
    "contact": Said("联系用户", "Contact the user"),
    "opinion": Said("报处理意见", "Report what is intended"),
    "result": Said("报处理结果", "Report the result"),
    "on_site": Said("到达现场", "Be on site"),
    "cause": Said("查明原因", "Find the cause"),
    "finish": Said("处理完毕", "Finish the repair"),
    "receipt": Said("填写回执单", "Fill in the receipt"),
    "follow_up": Said("回访", "Follow up"),
    "warning": Said("停热预警", "Warn dispatch"),
    "notice": Said("发布停热公告", "Publish the notice"),
}
FINDINGS: Words = {
    "cold_spell": Said("低温时段", "Cold spell"),
    "heat_outage": Said("停热", "Heat outage"),
    "data_outage": Said("数据中断", "Data outage"),
    "sensor_fault": Said("传感器故障", "Sensor fault"),
}
SUBJECTS: Words = {
    "point": Said("测温点", "point"),
    "building": Said("整楼", "building"),
    "station": Said("全站", "station"),
}
EVIDENCE: Words = {
    "reported": Said("上报", "report"),
    "supply": Said("供水温度", "supply temperature"),
    "rooms": Said("多户室温同降", "rooms cooling together"),
}
ENDS: Words = {
    "": Said("持续中", "goes on"),
    "-": Said("持续中", "goes on"),
    "recovered": Said("室温恢复", "room warm again"),
    "silence": Said("数据中断", "silence"),
    "suspended": Said("停用", "suspended"),
    "season": Said("供暖期结束", "end of season"),
}
FAULTS: Words = {
    "out_of_range": Said("超出量程", "out of range"),
    "spike": Said("突跳", "spike"),
    "stuck": Said("读数不变", "stuck"),
    "drift": Said("漂移", "drift"),
    "moved": Said("被移动", "moved"),
    "low_battery": Said("电量低", "low battery"),
    "clock": Said("时钟错误", "wrong clock"),
}
NOTICE_KINDS: Words = {
    "stop": Said("停热", "Heat is off"),
    "restoration": Said("恢复供热", "Heat is back"),
    "correction": Said("更正", "Correction"),
}
NOTICE_STATES: Words = {
    "draft": Said("草稿", "Draft"),
    "published": Said("已发布", "Published"),
    "superseded": Said("已更新", "Brought up to date"),
    "dropped": Said("未发布", "Dropped"),
}
ROLES: Words = {
    "ingest": Said("数据接收", "ingest"),
    "analytics": Said("室温判定", "analytics"),
    "rates": Said("合格率统计", "rates"),
    "dispatch": Said("工单调度", "dispatch"),
    "notifier": Said("消息通知", "notifier"),
    "feed": Said("数据写入", "feed"),
}
PLACES: Words = {
    "near": Said("近端", "near end"),
    "middle": Said("中端", "middle"),
    "far": Said("远端", "far end"),
}
WHOLE: Words = {"_": Said("全站", "whole station")}
NOT_YET: Words = {"0": Said("—", "—")}
YES: Words = {"true": Said("是", "yes"), "false": Said("否", "no")}
HOLDS: Words = {"true": Said("账目相符", "adds up"), "false": Said("账目不符", "does not add up")}
GOES_ON: Words = {"true": Said("持续中", "goes on"), "false": Said("已结束", "ended")}
