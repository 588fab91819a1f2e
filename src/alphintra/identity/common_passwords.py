"""Passwords of ten characters and more that stand at the top of every list of leaked ones.

Folded to lower case. Shorter ones are refused by their length already.
"""

from typing import Final

_LISTED: Final = """
0000000000 0123456789 0987654321 1029384756 1111111111 1122334455 112233445566 1212121212
123123123123 1231231234 1234567890 1234567891 12345678910 1234567899 123456789a 123456789q
123qweasdzxc 147258369147 147258369a 1a2b3c4d5e 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 5555555555
6666666666 7777777777 8888888888 9876543210 9999999999 a123456789 aa123456789 aaaaaaaaaa
abc1234567 abc123456789 abcd123456 abcd1234abcd abcdef1234 abcdefghij abcdefghijk abcdefghijkl
admin12345 admin123456 admin1234567 admin@1234 adminadmin administrator administrator1
adminpassword alphintra1 alphintra12 alphintra123 asd123asd123 asdfghjkl1 asdfghjkl123 asdfghjkl;
ashley1234 barcelona1 barcelona10 baseball12 baseball123 basketball basketball1 batman1234
bitcoin123 bitcoin1234 blink182blink changeme12 changeme123 changemenow charlie123 chelseafc1
computer12 computer123 correcthorsebatterystaple daniel1234 default123 dragon12345 ethereum123
facebook12 facebook123 football12 football123 google1234 guest12345 guestguest ilovemyself
iloveyou12 iloveyou123 iloveyou1234 iloveyou22 iloveyouso internet12 internet123 jennifer12
jordan1234 juventus10 letmein123 letmein1234 letmeinnow liverpool1 liverpool123 manchester
manchester1 manchesterunited michael123 microsoft1 millionaire millionaire1 money12345 moneymoney
monkey12345 mypassword mypassword1 mypassword123 newpassword newpassword1 oldpassword p@ssw0rd12
p@ssw0rd123 p@ssword123 passw0rd123 password!1 password01 password11 password12 password123
password123! password1234 password12345 passwordpassword pokemon123 princess12 princess123
q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedc123 qazwsxedcrfv qwe123qwe123 qweasdzxc123 qwerty1234 qwerty12345
qwerty123456 qwertyuiop qwertyuiop123 realmadrid1 root123456 rootroot12 samsung123 secretpassword
spiderman1 spiderman123 starwars12 starwars123 sunshine12 sunshine123 superadmin superman12
superman123 temporary1 temppassword test123456 test1234567 testing123 testpassword testtest12
thepassword toor123456 trader1234 trading123 trading1234 tradingview trustno1234 welcome123
welcome1234 welcome12345 welcome2023 welcome2024 welcome2025 welcome2026 whatever12 whatever123
yourpassword zxcvbnm123 zxcvbnm1234
"""

COMMON: Final = frozenset(_LISTED.split())
